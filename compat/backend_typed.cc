// Typed nodes and bindings: what callers of the new model use.
#include "compat/internal/backend.h"
#include "compat/internal/write_plan.h"

namespace engram::compat::internal {

using engine::Binding;
using engine::DualNode;
using engine::Embedding;
using engine::NodeType;
using engine::ReadView;

namespace {

// The fixed-size part of a node, without copying its text.
DualNode HeadOf(const DualNode& node) {
  DualNode head;
  head.extension = node.extension;
  head.activation = node.activation;
  head.confidence = node.confidence;
  head.last_access = node.last_access;
  head.created_at = node.created_at;
  head.residual = node.residual;
  return head;
}

Status CheckEpisode(const DualNode& head) {
  if (head.extension.type == NodeType::kEpisode) return Status::Ok();
  return Status::InvalidArgument("the node is a concept, which has no strength or score",
                                 "store it again as a typed node to change a concept");
}

Status NoNode(const char* which) {
  return Status::NotFound(std::string("there is no node with this ") + which + " id",
                          "store both nodes before binding them");
}

}  // namespace

Result<Lsn> Backend::PutNode(const DualNode& node, const Embedding& embedding) {
  ENGRAM_TRY(ValidateExtension(node.extension));
  PreparedWrite write;
  write.head = HeadOf(node);
  write.typed = true;
  ENGRAM_TRY(Prepare(node.text, embedding, &write));
  return Commit(StageWrite(write));
}

Result<Lsn> Backend::SetStrength(std::string_view id, float strength) {
  return EditRecord(id, [strength](DualNode* head) -> Result<bool> {
    ENGRAM_TRY(CheckEpisode(*head));
    head->extension.strength = strength;
    return true;
  });
}

Result<Lsn> Backend::SetConsolidationScore(std::string_view id, float score) {
  return EditRecord(id, [score](DualNode* head) -> Result<bool> {
    ENGRAM_TRY(CheckEpisode(*head));
    head->extension.consolidation_score = ClampUnit(score);
    return true;
  });
}

Status Backend::AddBinding(std::string_view episode, std::string_view concept_id, float strength,
                           float contribution) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, BeginWrite());
  ENGRAM_ASSIGN_OR_RETURN(auto episode_node, Find(*txn, episode));
  if (!episode_node) return AfterEarlierWrites(std::move(txn), NoNode("episode"));
  ENGRAM_ASSIGN_OR_RETURN(auto concept_node, Find(*txn, concept_id));
  if (!concept_node) return AfterEarlierWrites(std::move(txn), NoNode("concept"));
  ENGRAM_TRY(txn->AddBinding(episode_node->key, concept_node->key, ClampUnit(strength),
                             ClampUnit(contribution)));
  return CommitIf(true, std::move(txn));
}

Result<std::vector<MemoryBackend::BoundNode>> Backend::NameBindings(
    ReadView& view, const std::vector<Binding>& bindings) const {
  std::vector<BoundNode> nodes;
  for (const Binding& b : bindings) {
    ENGRAM_ASSIGN_OR_RETURN(std::string id, view.IdOf(b.node));
    nodes.push_back({std::move(id), b.strength, b.contribution});
  }
  return nodes;
}

Result<std::vector<MemoryBackend::BoundNode>> Backend::ConceptsOf(std::string_view episode) {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  ENGRAM_ASSIGN_OR_RETURN(auto key, view->FindId(episode));
  if (!key) return std::vector<BoundNode>();
  ENGRAM_ASSIGN_OR_RETURN(auto bindings, view->ConceptsOf(*key));
  return NameBindings(*view, bindings);
}

Result<std::vector<MemoryBackend::BoundNode>> Backend::EpisodesOf(std::string_view concept_id) {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  ENGRAM_ASSIGN_OR_RETURN(auto key, view->FindId(concept_id));
  if (!key) return std::vector<BoundNode>();
  ENGRAM_ASSIGN_OR_RETURN(auto bindings, view->EpisodesOf(*key));
  return NameBindings(*view, bindings);
}

Status Backend::SpreadThroughBindings(std::string_view source, bool source_is_episode,
                                      float decay) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, BeginWrite());
  ENGRAM_ASSIGN_OR_RETURN(auto key, txn->view().FindId(source));
  if (!key) return AfterEarlierWrites(std::move(txn), Status::Ok());
  ActivationChanges changes(*this, *txn);
  ENGRAM_ASSIGN_OR_RETURN(float activation, changes.ActivationOf(key));
  bool changed = false;
  if (source_is_episode) {
    ENGRAM_TRY(SpreadToConcepts(*txn, *key, activation, decay, &changes));
  } else {
    ENGRAM_ASSIGN_OR_RETURN(changed, SpreadToEpisodes(*txn, *key, activation * decay, &changes));
  }
  ENGRAM_ASSIGN_OR_RETURN(bool records_changed, changes.Stage());
  return CommitIf(changed || records_changed, std::move(txn));
}

Status Backend::SpreadToConcepts(engine::WriteTxn& txn, NodeKey episode, float activation,
                                 float decay, ActivationChanges* changes) {
  ENGRAM_ASSIGN_OR_RETURN(auto bindings, txn.view().ConceptsOf(episode));
  for (const Binding& b : bindings) {
    ENGRAM_TRY(changes->Add(b.node, activation * b.strength * decay));
  }
  return Status::Ok();
}

// Top-down spreading strengthens the bindings for good, then spreads with the new strengths.
// Returns whether there were any.
Result<bool> Backend::SpreadToEpisodes(engine::WriteTxn& txn, NodeKey concept_node, float delta,
                                       ActivationChanges* changes) {
  ENGRAM_ASSIGN_OR_RETURN(auto bindings, txn.view().EpisodesOf(concept_node));
  for (const Binding& b : bindings) {
    float strength = ClampUnit(b.strength + delta);
    ENGRAM_TRY(txn.SetBindingStrength(b.node, concept_node, b.ordinal, strength));
    ENGRAM_TRY(changes->Add(b.node, delta * strength));
  }
  return !bindings.empty();
}

}  // namespace engram::compat::internal
