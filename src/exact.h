/* Included before all else in every compiled module: a compiler that may compute other bits than IEEE 754 asks for
   must not get past here. What a compiler does not tell by a macro is left to the flags in CMakeLists.txt. */

#ifndef LRCORE_EXACT_H
#define LRCORE_EXACT_H

#include <float.h>

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || defined(_M_FP_FAST)
#error "fast floating-point arithmetic is on: -ffast-math, -Ofast, -ffinite-math-only, /fp:fast or a default like them"
#endif
#if defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(__NO_SIGNED_ZEROS__)
#error "some of the -ffast-math options are on: a sum may be reordered, a quotient or the sign of a zero changed"
#endif
#if !defined(FLT_EVAL_METHOD) || FLT_EVAL_METHOD != 0
#error "float and double must be computed as such, FLT_EVAL_METHOD 0: the x87 of 32-bit x86 rounds twice"
#endif
#if FLT_RADIX != 2 || FLT_MANT_DIG != 24 || DBL_MANT_DIG != 53
#error "float and double must be those of IEEE 754"
#endif
#if defined(_MSC_VER) && !defined(__clang__) && !defined(_M_FP_STRICT)
#error "MSVC must compile with /fp:strict"
#endif

#endif
