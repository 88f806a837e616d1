// UTF-8 as Rust's strings demand it: no overlong forms, no surrogates, nothing above U+10FFFF.
#ifndef ENGRAM_BASE_UTF8_H_
#define ENGRAM_BASE_UTF8_H_

#include <string>
#include <string_view>

#include "base/coding.h"

namespace engram {

// NUL and every other code point are fine; the empty string is valid.
bool IsValidUtf8(Bytes bytes);
inline bool IsValidUtf8(std::string_view text) { return IsValidUtf8(AsBytes(text)); }

// For reports, which are text while a path may be any bytes: the path itself if it is UTF-8, else
// with every byte above 7f as \xNN.
std::string PathText(std::string_view path);

// Without the outer white space, as Rust's trim() takes it off: every code point of the property
// White_Space.
std::string_view TrimWhitespace(std::string_view text);

}  // namespace engram

#endif  // ENGRAM_BASE_UTF8_H_
