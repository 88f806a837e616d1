# `cmake --install`: programs, the engine as a plugin, the one header, a pkg-config file. The tree
# may be moved: the program finds the plugin from where it lies itself, and nothing has an rpath.
include(GNUInstallDirs)

install(TARGETS engram engram-inspect RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS engram_dual LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${CMAKE_SOURCE_DIR}/include/engram/engram_storage_engine.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/engram)

# The prefix seen from the folder of the .pc file.
set(ENGRAM_PC_FOLDER ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH ENGRAM_PC_PREFIX /${ENGRAM_PC_FOLDER} /)
string(REGEX REPLACE "/$" "" ENGRAM_PC_PREFIX "${ENGRAM_PC_PREFIX}")
configure_file(${CMAKE_SOURCE_DIR}/cmake/engram-storage-engine.pc.in
               ${CMAKE_BINARY_DIR}/engram-storage-engine.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/engram-storage-engine.pc DESTINATION ${ENGRAM_PC_FOLDER})
