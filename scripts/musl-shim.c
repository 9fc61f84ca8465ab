/*
 * What Debian's libstdc++ and libgcc call that glibc has and musl has not, and one function of a newer libstdc++ that Node calls.
 * Built by scripts/node-binaries.mjs, only to run the tests with musl; no part of the package.
 */
#include <stddef.h>

extern void *malloc(size_t);
extern void free(void *);
extern void *memmove(void *, const void *, size_t);
extern long getrandom(void *, size_t, unsigned);
extern size_t strftime_l(char *, size_t, const char *, const void *, void *);
extern int pthread_key_create(unsigned *, void (*)(void *));
extern int pthread_setspecific(unsigned, const void *);
extern void *pthread_getspecific(unsigned);

char __libc_single_threaded = 0;
unsigned __cpu_model[4];

int __cpu_indicator_init(void) { return 0; }

size_t __strftime_l(char *to, size_t size, const char *format, const void *time, void *locale) {
  return strftime_l(to, size, format, time, locale);
}

unsigned arc4random(void) {
  unsigned value = 0;
  getrandom(&value, sizeof value, 0);
  return value;
}

/* Not found: the unwinder then asks dl_iterate_phdr, which musl has. */
int _dl_find_object(void *address, void *result) { return -1; }

/* Destructors of a thread's variables, the newest first. */
struct ending {
  void (*run)(void *);
  void *object;
  struct ending *next;
};
static unsigned key;

static void run_endings(void *newest) {
  struct ending *at = newest;
  while (at != NULL) {
    struct ending *next = at->next;
    at->run(at->object);
    free(at);
    at = next;
  }
}

__attribute__((constructor)) static void make_key(void) { pthread_key_create(&key, run_endings); }

int __cxa_thread_atexit_impl(void (*run)(void *), void *object, void *library) {
  struct ending *one = malloc(sizeof *one);
  if (one == NULL) return -1;
  one->run = run;
  one->object = object;
  one->next = pthread_getspecific(key);
  return pthread_setspecific(key, one);
}

/* std::string::_M_replace_cold of libstdc++ 13: replaces `old` bytes at `p` by `count` of `from`, which may lie in the string. */
void replace_cold(void *string, char *p, size_t old, const char *from, size_t count, size_t after) __asm__(
    "_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE15_M_replace_coldEPcmPKcmm");
void replace_cold(void *string, char *p, size_t old, const char *from, size_t count, size_t after) {
  if (count != 0 && count <= old) memmove(p, from, count);
  if (after != 0 && old != count) memmove(p + count, p + old, after);
  if (count <= old) return;
  if (from + count <= p + old) {
    memmove(p, from, count);
  } else if (from >= p + old) {
    memmove(p, from + (count - old), count);
  } else {
    size_t left = (size_t)((p + old) - from);
    memmove(p, from, left);
    memmove(p + left, p + count, count - left);
  }
}
