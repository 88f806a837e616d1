// Which mutex guards what, checked at compile time by clang (-Wthread-safety -Werror in the preset
// "clang"); nothing for other compilers.
#ifndef ENGRAM_BASE_THREAD_ANNOTATIONS_H_
#define ENGRAM_BASE_THREAD_ANNOTATIONS_H_

#if defined(__clang__)
#define ENGRAM_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define ENGRAM_THREAD_ANNOTATION(x)
#endif

#define ENGRAM_CAPABILITY(name) ENGRAM_THREAD_ANNOTATION(capability(name))
#define ENGRAM_SCOPED_CAPABILITY ENGRAM_THREAD_ANNOTATION(scoped_lockable)
// A member that is read and written with the mutex held only.
#define ENGRAM_GUARDED_BY(mutex) ENGRAM_THREAD_ANNOTATION(guarded_by(mutex))
// A function that is called with the mutex held, or with it not held.
#define ENGRAM_REQUIRES(...) ENGRAM_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define ENGRAM_EXCLUDES(...) ENGRAM_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define ENGRAM_ACQUIRE(...) ENGRAM_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define ENGRAM_RELEASE(...) ENGRAM_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define ENGRAM_TRY_ACQUIRE(...) ENGRAM_THREAD_ANNOTATION(try_acquire_capability(__VA_ARGS__))

#endif  // ENGRAM_BASE_THREAD_ANNOTATIONS_H_
