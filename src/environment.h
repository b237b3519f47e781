#ifndef LRCORE_ENVIRONMENT_H
#define LRCORE_ENVIRONMENT_H
#include <fenv.h>
typedef fenv_t environment_t;
static inline environment_t environment_enter(void) { fenv_t e; fegetenv(&e); fesetenv(FE_DFL_ENV); return e; }
static inline void environment_leave(environment_t e) { fesetenv(&e); }
#endif
