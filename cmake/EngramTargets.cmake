# Compiler settings shared by every target, and the one helper that declares a module.
add_library(engram_options INTERFACE)
target_include_directories(engram_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/include)
# g++ 12 warns falsely about std::string::insert and operator+ with -Wrestrict (GCC bug 105651), and
# -Wpsabi reports what GCC 4.6 changed for 64-byte alignment: no such type crosses the C boundary.
target_compile_options(engram_options INTERFACE -Wall -Wextra -Werror -fno-omit-frame-pointer
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>
  $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-psabi>
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>
  $<$<CXX_COMPILER_ID:Clang>:-Wno-unused-private-field>)
if(ENGRAM_SANITIZE)
  target_compile_options(engram_options INTERFACE -fsanitize=${ENGRAM_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(engram_options INTERFACE -fsanitize=${ENGRAM_SANITIZE})
  # g++ warns that ThreadSanitizer does not see Asio's fences; the mutexes beside them it sees.
  target_compile_options(engram_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
endif()
if(ENGRAM_BUILD_FUZZ)  # every module reports its coverage to the fuzzers
  target_compile_options(engram_options INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(engram_options INTERFACE -fsanitize=fuzzer-no-link)
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
