# Compiler settings shared by every target, and the one helper that declares a module.
add_library(engram_options INTERFACE)
target_include_directories(engram_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/include)
target_compile_options(engram_options INTERFACE -Wall -Wextra -Wshadow=local -Wnon-virtual-dtor
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety -Wno-unused-private-field> -Werror
  -fno-omit-frame-pointer)
if(ENGRAM_SANITIZE)
  target_compile_options(engram_options INTERFACE -fsanitize=${ENGRAM_SANITIZE} -fno-sanitize-recover=all -g)
  target_link_options(engram_options INTERFACE -fsanitize=${ENGRAM_SANITIZE})
endif()
target_link_libraries(engram_options INTERFACE Threads::Threads)

# engram_module(NAME wal DEPS engram_base PRIVATE PkgConfig::URING)
# One static library per module, made of every .cc below its folder. DEPS are the modules it may
# include; tests/layering_test.py checks that the includes agree.
function(engram_module)
  cmake_parse_arguments(ARG "" "NAME" "DEPS;PRIVATE;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  foreach(pattern ${ARG_EXCLUDE})
    list(FILTER sources EXCLUDE REGEX ${pattern})
  endforeach()
  if(NOT sources)
    return()
  endif()
  add_library(engram_${ARG_NAME} STATIC ${sources})
  target_link_libraries(engram_${ARG_NAME} PUBLIC engram_options ${ARG_DEPS} PRIVATE ${ARG_PRIVATE})
endfunction()
