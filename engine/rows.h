// Encodings of the store's rows. Every stored value ends with the crc32c of its key and its bytes,
// so a value under the wrong key fails too. Format: docs/format/store.md.
#ifndef ENGRAM_ENGINE_ROWS_H_
#define ENGRAM_ENGINE_ROWS_H_

#include <optional>
#include <string>

#include "base/coding.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/record.h"

namespace engram::engine {

// Persisted in the first byte of log row changes; never renumbered.
enum class Table : uint8_t {
  kMeta = 1,          // text -> value
  kHeads = 2,         // node key (big-endian u64) -> dual head
  kOldHeads = 3,      // node key -> old head
  kContent = 4,       // node key -> text fields
  kExtensions = 5,    // node key -> extension
  kEmbeddings = 6,    // vector key (big-endian u64) -> node key, 768 floats
  kIds = 7,           // encoded external id -> node key
  kUuids = 8,         // uuid -> node key
  kEdgesOut = 9,      // source | ordinal | target -> weight
  kEdgesIn = 10,      // target | ordinal | source -> weight
  kBindingsOut = 11,  // episode | ordinal | concept -> strength, contribution
  kBindingsIn = 12,   // concept | ordinal | episode -> strength, contribution
  kDigests = 13,      // tier / edge / binding lane sums and counts, range sums
  kTombstones = 14,   // encoded external id -> lsn of the delete
  kQuarantine = 15,   // what could not be decoded or converted, verbatim
};
inline constexpr int kTableCount = 15;

// What both heads carry beside their own layout.
struct HeadCommon {
  Lsn seq;  // of the last logical write to the record
  VectorKey vector_key;
  Sha256Digest digest{};  // RecordDigest of the content
  Tier tier = Tier::kCold;
  uint32_t origin = 0;  // number of the ingested source that wrote it last; 0: written here
};

// A decoded head: the fixed-size fields of the record in one of the two physical layouts. The
// decoded form of an old head fills the scalar fields of `memory` (text is empty); that of a dual
// head fills the scalar fields of `node` (text and extension are empty).
struct OldHead {
  HeadCommon common;
  Memory memory;
};
struct DualHead {
  HeadCommon common;
  DualNode node;
};

inline constexpr size_t kOldHeadSizeBytes = 200;
inline constexpr size_t kDualHeadSizeBytes = 208;
inline constexpr size_t kExtensionSizeBytes = 40;
inline constexpr size_t kEmbeddingRowSizeBytes = 3084;

// Encoders append to `out`; decoders refuse a bad checksum, size, version or field with kCorruption
// (the message has expected and actual; the caller adds table, key and file). Whatever a decoder
// accepts, the encoder gives back byte for byte. `key` is the row's key as stored. Head decoders
// leave the text fields (and a node's extension) of `out` as they are.
void EncodeOldHead(Bytes key, const HeadCommon& common, const Memory& memory, std::string* out);
void EncodeDualHead(Bytes key, const HeadCommon& common, const DualNode& node, std::string* out);
// Gives an encoded head of either layout another sequence and vector key, in place.
// REQUIRES: `row` is one that the encoders above made under `key`
void RepositionHead(Bytes key, Lsn seq, VectorKey vector_key, std::span<uint8_t> row);
Status DecodeOldHead(Bytes key, Bytes value, OldHead* out);
Status DecodeDualHead(Bytes key, Bytes value, DualHead* out);

void EncodeTextFields(Bytes key, const TextFields& text, std::string* out);
// Reuses the capacity of `out`.
Status DecodeTextFields(Bytes key, Bytes value, TextFields* out);

// Id and content of a text row as it stands: neither checksum nor the rest is looked at. False if
// they do not fit into the row. For searches, which verify what they return.
struct TextPeek {
  std::string_view id;
  std::optional<std::string_view> content;
};
bool PeekTextFields(Bytes value, TextPeek* out);

void EncodeExtension(Bytes key, const Extension& extension, std::string* out);
Status DecodeExtension(Bytes key, Bytes value, Extension* out);

// 8-byte node key, 3072 bytes, crc: 3084 bytes in all. `floats` are copied verbatim.
void EncodeEmbedding(Bytes key, NodeKey owner, Bytes floats, std::string* out);
Status DecodeEmbedding(Bytes key, Bytes value, NodeKey* owner, Bytes* floats);
// The same for a row in memory that is not cached: the bytes are copied once, and it is the copy
// that is verified. After an error `floats` holds anything.
Status CopyEmbedding(Bytes key, Bytes value, NodeKey* owner, Embedding* floats);

// Key of kIds/kTombstones: sorts as the id's bytes do. Ids above 440 bytes share a prefix and end
// in their SHA-256; their order among each other is settled by the full id. Never empty.
inline constexpr size_t kIdKeyPrefixSizeBytes = 440;
std::string EncodeIdKey(std::string_view id);
bool IdKeyIsTruncated(Bytes id_key);
// The id of a key that is not truncated: a view into the key.
// REQUIRES: !id_key.empty() && !IdKeyIsTruncated(id_key)
std::string_view IdOfIdKey(Bytes id_key);
std::string EncodeU64Key(uint64_t value);

// A generic "value + crc" row for small values (ids, uuids, meta, tombstones, edges, bindings).
void EncodeChecked(Bytes key, Bytes value, std::string* out);
Result<Bytes> DecodeChecked(Bytes key, Bytes value);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_ROWS_H_
