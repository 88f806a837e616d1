#include "server/http/request_parser.h"

#include <algorithm>
#include <array>
#include <boost/beast/http/basic_parser.hpp>
#include <optional>

#include "base/ascii.h"
#include "base/utf8.h"
#include "server/http/url.h"

namespace engram::server {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using BeastText = beast::string_view;
using ErrorCode = beast::error_code;

std::string_view View(BeastText text) { return {text.data(), text.size()}; }

Method ToMethod(http::verb verb) {
  switch (verb) {
    case http::verb::get:
      return Method::kGet;
    case http::verb::post:
      return Method::kPost;
    case http::verb::put:
      return Method::kPut;
    case http::verb::delete_:
      return Method::kDelete;
    case http::verb::head:
      return Method::kHead;
    case http::verb::options:
      return Method::kOptions;
    default:
      return Method::kOther;
  }
}

// Headers that may come once: two of them could be read differently by two readers.
constexpr std::array kSingleHeaders = {
    http::field::host,         http::field::content_length, http::field::transfer_encoding,
    http::field::content_type, http::field::authorization,  http::field::origin,
    http::field::expect,
};

// Bodies grow as they arrive; a declared length alone allocates no more than this.
constexpr size_t kBodyReserveBytes = 64u << 10;
constexpr size_t kBodyKeptBytes = 16u << 10;  // by an idle connection, for its next request

}  // namespace

// Takes what Beast's parser finds. A repeated or trailing header is noted, not stored.
class RequestParser::Adapter final : public http::basic_parser<true> {
 public:
  explicit Adapter(RequestParser& owner) : owner_(owner) {}

  std::optional<http::field> repeated;
  bool too_many_headers = false;

 private:
  void on_request_impl(http::verb method, BeastText, BeastText target, int version,
                       ErrorCode&) override {
    owner_.request_.method = ToMethod(method);
    owner_.target_.assign(target.data(), target.size());
    owner_.http_1_0_ = version == 10;
  }
  void on_response_impl(int, BeastText, int, ErrorCode&) override {}
  void on_field_impl(http::field field, BeastText name, BeastText value, ErrorCode&) override {
    if (owner_.state_ != State::kHeader) return;  // a trailer
    const auto single = std::find(kSingleHeaders.begin(), kSingleHeaders.end(), field);
    if (single != kSingleHeaders.end()) {
      bool& seen = seen_[static_cast<size_t>(single - kSingleHeaders.begin())];
      if (seen) repeated = field;
      seen = true;
    }
    if (owner_.request_.headers.size() == kHeadersMax) {
      too_many_headers = true;
      return;
    }
    owner_.request_.headers.emplace_back(View(name), View(value));
  }
  void on_header_impl(ErrorCode&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>& size, ErrorCode&) override {
    if (size && owner_.keep_body_) {
      owner_.request_.body.reserve(std::min<uint64_t>(*size, kBodyReserveBytes));
    }
  }
  size_t on_body_impl(BeastText text, ErrorCode&) override {
    if (owner_.keep_body_) owner_.request_.body.append(text.data(), text.size());
    body_size_bytes_ += text.size();
    return text.size();
  }
  void on_chunk_header_impl(uint64_t, BeastText, ErrorCode&) override {}
  size_t on_chunk_body_impl(uint64_t, BeastText text, ErrorCode& error) override {
    return on_body_impl(text, error);
  }
  void on_finish_impl(ErrorCode&) override {}

  RequestParser& owner_;
  std::array<bool, kSingleHeaders.size()> seen_{};

 public:
  uint64_t body_size_bytes_ = 0;
};

RequestParser::RequestParser(const ParserLimits& limits) : limits_(limits) { Reset(); }
RequestParser::~RequestParser() = default;

void RequestParser::Reset() {
  state_ = State::kHeader;
  request_.path.clear();
  request_.query.clear();
  request_.path_params.clear();
  request_.headers.clear();
  request_.may_block = true;
  request_.body.clear();
  if (request_.body.capacity() > kBodyKeptBytes) request_.body.shrink_to_fit();
  request_.request_id.clear();
  target_.clear();
  raw_path_ = {};
  keep_alive_ = http_1_0_ = expects_continue_ = false;
  keep_body_ = true;
  size_bytes_ = unkept_size_bytes_ = 0;
  if (adapter_ == nullptr) {
    adapter_ = std::make_unique<Adapter>(*this);
  } else {  // Beast's parser reads one message; the next one takes its place
    std::destroy_at(adapter_.get());
    std::construct_at(adapter_.get(), *this);
  }
  adapter_->header_limit(static_cast<uint32_t>(limits_.header_size_bytes_max));
  adapter_->body_limit(limits_.body_size_bytes_max);
}

void RequestParser::Fail(int status, std::string_view code, std::string message,
                         std::string_view guidance) {
  state_ = State::kFailed;
  failure_ = {status, code, std::move(message), guidance};
}

size_t RequestParser::Feed(std::string_view bytes) {
  size_t taken = 0;
  // An empty line before a request is skipped (RFC 9112, section 2.2).
  while (size_bytes_ == 0 && bytes.substr(taken).starts_with("\r\n")) taken += 2;
  if (size_bytes_ == 0 && bytes.substr(taken) == "\r") return taken;
  while (taken < bytes.size() && (state_ == State::kHeader || state_ == State::kBody)) {
    const State before = state_;
    const uint64_t body_before = adapter_->body_size_bytes_;
    ErrorCode error;
    const size_t used = adapter_->put({bytes.data() + taken, bytes.size() - taken}, error);
    taken += used;
    size_bytes_ += used;
    unkept_size_bytes_ += used - (adapter_->body_size_bytes_ - body_before);
    const size_t waiting = error == http::error::need_more ? bytes.size() - taken : 0;
    if (before == State::kHeader && unkept_size_bytes_ + waiting > limits_.header_size_bytes_max) {
      error = http::error::header_limit;
    }
    if (before == State::kBody && waiting > limits_.header_size_bytes_max) {
      error = http::error::bad_chunk;
    }
    if (error == http::error::need_more) return taken;
    if (error == http::error::header_limit || adapter_->too_many_headers) {
      Fail(431, "HEADERS_TOO_LARGE",
           "the request line and headers are larger than " +
               std::to_string(limits_.header_size_bytes_max) + " bytes, or more than " +
               std::to_string(kHeadersMax),
           "send shorter or fewer headers");
    } else if (error == http::error::body_limit) {
      Fail(413, "PAYLOAD_TOO_LARGE",
           "the body is larger than " + std::to_string(limits_.body_size_bytes_max) + " bytes",
           "send the content in several requests");
    } else if (error) {
      Fail(400, "BAD_REQUEST", "this is not an HTTP/1.1 request: " + error.message(),
           "send a request line, headers with CRLF line ends, and a body of the declared length");
    } else if (before == State::kHeader && adapter_->is_header_done()) {
      FinishHeader();
      return taken;
    } else if (adapter_->is_done()) {
      state_ = State::kComplete;
    }
  }
  return taken;
}

bool RequestParser::CheckFraming() {
  if (adapter_->repeated) {
    const std::string name(View(http::to_string(*adapter_->repeated)));
    Fail(400, "BAD_REQUEST", "the header " + name + " came more than once", "send it once");
    return false;
  }
  if (!http_1_0_ && !request_.Header("Host")) {
    Fail(400, "BAD_REQUEST", "an HTTP/1.1 request needs a Host header", "send one");
    return false;
  }
  const auto encoding = request_.Header("Transfer-Encoding");
  if (encoding && (http_1_0_ || !EqualsIgnoringCase(*encoding, "chunked"))) {
    Fail(http_1_0_ ? 400 : 501, http_1_0_ ? "BAD_REQUEST" : "NOT_IMPLEMENTED",
         "the only Transfer-Encoding is chunked, in HTTP/1.1", "send the body plain or chunked");
    return false;
  }
  const auto length = request_.Header("Content-Length");
  if (length && length->find_first_not_of("0123456789") != std::string_view::npos) {
    Fail(400, "BAD_REQUEST", "Content-Length is not one decimal number", "send one number");
    return false;
  }
  return true;
}

bool RequestParser::TakeTarget() {
  const TargetParts parts = SplitTarget(target_);
  if (parts.path.empty()) {
    Fail(400, "BAD_REQUEST", "the request target is not a path",
         "send \"METHOD /path?query HTTP/1.1\"");
    return false;
  }
  raw_path_ = parts.path;
  request_.path = PercentDecoded(parts.path, Plus::kLiteral);
  if (!ParseQuery(parts.query, &request_.query)) {
    Fail(400, "BAD_REQUEST",
         "the query has more than " + std::to_string(kQueryParametersMax) + " parameters",
         "send fewer");
    return false;
  }
  bool valid = IsValidUtf8(request_.path);
  for (const auto& [key, value] : request_.query) {
    valid = valid && IsValidUtf8(key) && IsValidUtf8(value);
  }
  if (!valid) {
    Fail(400, "BAD_REQUEST", "the request target is not UTF-8 after percent-decoding",
         "percent-encode the bytes of UTF-8 text");
  }
  return valid;
}

bool RequestParser::TakeExpectation() {
  const auto expect = request_.Header("Expect");
  if (!expect || http_1_0_) return true;
  if (EqualsIgnoringCase(*expect, "100-continue")) {
    expects_continue_ = true;
    return true;
  }
  Fail(417, "EXPECTATION_FAILED", "the only expectation served is 100-continue",
       "leave out the Expect header");
  return false;
}

void RequestParser::FinishHeader() {
  keep_alive_ = adapter_->keep_alive();
  if (!CheckFraming() || !TakeTarget() || !TakeExpectation()) return;
  state_ = adapter_->is_done() ? State::kComplete : State::kBody;
}

}  // namespace engram::server
