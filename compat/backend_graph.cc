// Edges, traversal and spreading over them.
#include <set>

#include "base/utf8.h"
#include "compat/internal/backend.h"
#include "compat/internal/breadth_first.h"
#include "compat/internal/write_plan.h"

namespace engram::compat::internal {

using engine::Neighbour;
using engine::ReadView;
using engine::WriteTxn;

namespace {

Status CheckId(std::string_view id) {
  if (IsValidUtf8(id)) return Status::Ok();
  return Status::InvalidArgument("id is not valid UTF-8", "re-encode the id as UTF-8");
}

// Upstream's value for a source that it knows no activation of.
constexpr float kActivationOfUnknownSource = 0.5f;

}  // namespace

Status Backend::AddEdge(std::string_view from, std::string_view to, float weight) {
  ENGRAM_TRY(CheckId(from));
  ENGRAM_TRY(CheckId(to));
  Uuid from_uuid = UuidOf(from);
  Uuid to_uuid = UuidOf(to);
  ENGRAM_ASSIGN_OR_RETURN(auto txn, BeginWrite());
  ENGRAM_ASSIGN_OR_RETURN(NodeKey source, txn->KeyFor(from, from_uuid));
  ENGRAM_ASSIGN_OR_RETURN(NodeKey target, txn->KeyFor(to, to_uuid));
  ENGRAM_TRY(txn->AddEdge(source, target, weight));
  auto staged = txn->Stage();
  txn.reset();
  return Commit(std::move(staged)).status();
}

Result<bool> Backend::RemoveEdge(std::string_view from, std::string_view to) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, BeginWrite());
  ENGRAM_ASSIGN_OR_RETURN(auto source, txn->view().FindId(from));
  ENGRAM_ASSIGN_OR_RETURN(auto target, txn->view().FindId(to));
  uint64_t removed = 0;
  if (source && target) {
    ENGRAM_ASSIGN_OR_RETURN(removed, txn->RemoveEdges(*source, *target));
  }
  if (removed == 0) {
    ENGRAM_TRY(AfterEarlierWrites(std::move(txn), Status::Ok()));
    return false;
  }
  auto staged = txn->Stage();
  txn.reset();
  ENGRAM_TRY(Commit(std::move(staged)).status());
  return true;
}

Result<std::vector<MemoryBackend::Edge>> Backend::Neighbours(std::string_view id) {
  std::vector<Edge> edges;
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  ENGRAM_ASSIGN_OR_RETURN(auto key, view->FindId(id));
  if (!key) return edges;
  ENGRAM_ASSIGN_OR_RETURN(auto neighbours, view->OutEdges(*key));
  for (const Neighbour& n : neighbours) {
    ENGRAM_ASSIGN_OR_RETURN(std::string target, view->IdOf(n.node));
    edges.push_back({std::move(target), n.weight});
  }
  return edges;
}

Result<std::optional<float>> Backend::EdgeWeight(std::string_view from, std::string_view to) {
  std::optional<float> weight;
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  ENGRAM_ASSIGN_OR_RETURN(auto source, view->FindId(from));
  ENGRAM_ASSIGN_OR_RETURN(auto target, view->FindId(to));
  if (!source || !target) return weight;
  ENGRAM_ASSIGN_OR_RETURN(auto neighbours, view->OutEdges(*source));
  for (const Neighbour& n : neighbours) {
    if (n.node == *target) return std::optional<float>(n.weight);
  }
  return weight;
}

Status Backend::AllEdges(
    const std::function<Result<bool>(std::string_view from, std::string_view to, float weight)>&
        visit) {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.Snapshot());
  std::vector<NodeKey> sources;  // the key begins with the source: equal ones are neighbours
  ENGRAM_TRY(view->ScanTable(engine::Table::kEdgesOut, {}, [&](Bytes key, Bytes) -> Result<bool> {
    if (key.size() < 8) return Status::Corruption("table edges out: a key below 8 bytes");
    NodeKey source{LoadBe64(key.data())};
    if (sources.empty() || sources.back() != source) sources.push_back(source);
    return true;
  }));
  for (NodeKey source : sources) {
    ENGRAM_ASSIGN_OR_RETURN(std::string from, view->IdOf(source));
    ENGRAM_ASSIGN_OR_RETURN(auto neighbours, view->OutEdges(source));
    for (const Neighbour& n : neighbours) {
      ENGRAM_ASSIGN_OR_RETURN(std::string to, view->IdOf(n.node));
      ENGRAM_ASSIGN_OR_RETURN(bool more, visit(from, to, n.weight));
      if (!more) return Status::Ok();
    }
  }
  return Status::Ok();
}

Result<std::vector<std::string>> Backend::TraverseBreadthFirst(std::string_view start,
                                                               uint32_t depth) {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  ENGRAM_ASSIGN_OR_RETURN(auto key, view->FindId(start));
  std::vector<std::string> ids = {std::string(start)};
  if (!key) return ids;  // included even if it does not exist
  ENGRAM_ASSIGN_OR_RETURN(
      auto order, BreadthFirst(*key, depth, [&](NodeKey node) -> Result<std::vector<NodeKey>> {
        ENGRAM_ASSIGN_OR_RETURN(auto neighbours, view->OutEdges(node));
        std::vector<NodeKey> targets;
        for (const Neighbour& n : neighbours) targets.push_back(n.node);
        return targets;
      }));
  for (uint64_t i = 1; i < order.size(); ++i) {
    ENGRAM_ASSIGN_OR_RETURN(std::string id, view->IdOf(order[i]));
    ids.push_back(std::move(id));
  }
  return ids;
}

// --- Spreading ---

Status Backend::ActivationChanges::Add(NodeKey target, float amount) {
  auto at = found_.find(target.value);
  if (at == found_.end()) {
    ENGRAM_ASSIGN_OR_RETURN(auto found, backend_.Find(txn_, target));
    at = found_.emplace(target.value, std::move(found)).first;
  }
  if (at->second) {  // unknown targets are skipped
    at->second->head.activation = SpreadOnto(at->second->head.activation, amount);
  }
  return Status::Ok();
}

Result<float> Backend::ActivationChanges::ActivationOf(std::optional<NodeKey> source) {
  if (!source) return kActivationOfUnknownSource;
  ENGRAM_ASSIGN_OR_RETURN(auto found, backend_.Find(txn_, *source));
  return found ? found->head.activation : kActivationOfUnknownSource;
}

Result<bool> Backend::ActivationChanges::Stage() {
  bool changed = false;
  for (auto& [key, found] : found_) {
    if (!found) continue;
    ENGRAM_TRY(backend_.StageHead(txn_, *found, nullptr));
    changed = true;
  }
  return changed;
}

Status Backend::SpreadActivation(std::string_view source, float decay) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, BeginWrite());
  ENGRAM_ASSIGN_OR_RETURN(auto key, txn->view().FindId(source));
  ActivationChanges changes(*this, *txn);
  ENGRAM_ASSIGN_OR_RETURN(float activation, changes.ActivationOf(key));
  if (key) {
    ENGRAM_ASSIGN_OR_RETURN(auto neighbours, txn->view().OutEdges(*key));
    for (const Neighbour& n : neighbours) {
      ENGRAM_TRY(changes.Add(n.node, activation * n.weight * decay));
    }
  }
  ENGRAM_ASSIGN_OR_RETURN(bool changed, changes.Stage());
  return CommitIf(changed, std::move(txn));
}

Status Backend::CommitIf(bool changed, std::unique_ptr<WriteTxn> txn) {
  if (!changed) return AfterEarlierWrites(std::move(txn), Status::Ok());
  auto staged = txn->Stage();
  txn.reset();
  return Commit(std::move(staged)).status();
}

}  // namespace engram::compat::internal
