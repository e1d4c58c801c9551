# find_package(softpatch) gives the targets softpatch::softpatch (shared) and softpatch::static.
get_filename_component(_softpatch_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
find_library(softpatch_SHARED NAMES softpatch libsoftpatch.so softpatch.dll.lib PATHS "${_softpatch_prefix}/lib"
  "${_softpatch_prefix}/lib/${CMAKE_LIBRARY_ARCHITECTURE}" NO_DEFAULT_PATH)
if(WIN32)
  set(softpatch_STATIC "${_softpatch_prefix}/lib/softpatch.lib")
else()
  set(softpatch_STATIC "${_softpatch_prefix}/lib/libsoftpatch.a")
  if(NOT EXISTS "${softpatch_STATIC}")
    set(softpatch_STATIC "${_softpatch_prefix}/lib/${CMAKE_LIBRARY_ARCHITECTURE}/libsoftpatch.a")
  endif()
endif()

if(NOT TARGET softpatch::softpatch AND softpatch_SHARED)
  add_library(softpatch::softpatch UNKNOWN IMPORTED)
  set_target_properties(softpatch::softpatch PROPERTIES
    IMPORTED_LOCATION "${softpatch_SHARED}"
    INTERFACE_INCLUDE_DIRECTORIES "${_softpatch_prefix}/include")
endif()

if(NOT TARGET softpatch::static AND EXISTS "${softpatch_STATIC}")
  add_library(softpatch::static STATIC IMPORTED)
  set_target_properties(softpatch::static PROPERTIES
    IMPORTED_LOCATION "${softpatch_STATIC}"
    INTERFACE_INCLUDE_DIRECTORIES "${_softpatch_prefix}/include")
  if(UNIX AND NOT APPLE)
    set_property(TARGET softpatch::static PROPERTY INTERFACE_LINK_LIBRARIES pthread dl m)
  elseif(APPLE)
    set_property(TARGET softpatch::static PROPERTY INTERFACE_LINK_LIBRARIES
      "-framework Metal" "-framework QuartzCore" "-framework CoreGraphics" "-framework Foundation")
  endif()
endif()

if(NOT TARGET softpatch::softpatch)
  set(softpatch_FOUND FALSE)
  set(softpatch_NOT_FOUND_MESSAGE "there is no shared library below ${_softpatch_prefix}/lib")
endif()
unset(_softpatch_prefix)
