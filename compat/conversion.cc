#include "compat/conversion.h"

namespace engram::compat {

using engine::DualNode;
using engine::Extension;
using engine::Memory;
using engine::Residual;

void ToDualHead(const Memory& memory, const Uuid& uuid, const Extension& extension, DualNode* out) {
  out->uuid = uuid;
  out->extension = extension;
  out->embedding_sha256 = memory.embedding_sha256;
  out->activation = memory.activation;
  out->confidence = memory.confidence_encoding;
  out->last_access = memory.last_access;
  out->created_at = memory.created_at;
  Residual& residual = out->residual;
  residual.when = memory.when;
  residual.confidence_vividness = memory.confidence_vividness;
  residual.confidence_reliability = memory.confidence_reliability;
  residual.decay_rate = memory.decay_rate;
  residual.decay_function = memory.decay_function;
  residual.last_recall = memory.last_recall;
  residual.recall_count = memory.recall_count;
  residual.access_count = memory.access_count;
  residual.layout = memory.layout;
}

void ToMemoryHead(const DualNode& node, Memory* out) {
  const Residual& residual = node.residual;
  out->embedding_sha256 = node.embedding_sha256;
  out->activation = node.activation;
  out->confidence_encoding = node.confidence;
  out->confidence_vividness = residual.confidence_vividness;
  out->confidence_reliability = residual.confidence_reliability;
  out->decay_rate = residual.decay_rate;
  out->decay_function = residual.decay_function;
  out->when = residual.when;
  out->last_recall = residual.last_recall;
  out->recall_count = residual.recall_count;
  out->last_access = node.last_access;
  out->access_count = residual.access_count;
  out->created_at = node.created_at;
  out->layout = residual.layout;
}

DualNode ToDual(const Memory& memory, const Uuid& uuid, const Extension& extension) {
  DualNode node;
  ToDualHead(memory, uuid, extension, &node);
  node.text = memory.text;
  return node;
}

Memory ToMemory(const DualNode& node) {
  Memory memory;
  ToMemoryHead(node, &memory);
  memory.text = node.text;
  return memory;
}

Sha256Digest MemoryDigest(const Memory& memory, const Extension& extension) {
  DualNode head;  // holds no text: nothing is allocated
  ToDualHead(memory, Uuid{}, extension, &head);
  return engine::RecordDigest(head, memory.text);
}

}  // namespace engram::compat
