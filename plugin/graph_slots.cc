#include "plugin/boundary.h"
#include "plugin/handles.h"
#include "plugin/memory_marshal.h"
#include "plugin/slots.h"

namespace engram::plugin {
namespace {

engram_se_status EdgeAdd(engram_se_space* space, engram_se_bytes from, engram_se_bytes to,
                         float weight, engram_se_error* error) noexcept {
  return Guarded(
      error, [&]() -> Status { return space->backend->AddEdge(ToView(from), ToView(to), weight); });
}

engram_se_status EdgeRemove(engram_se_space* space, engram_se_bytes from, engram_se_bytes to,
                            uint8_t* removed_out, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    ENGRAM_ASSIGN_OR_RETURN(const bool removed,
                            space->backend->RemoveEdge(ToView(from), ToView(to)));
    *removed_out = removed ? 1 : 0;
    return Status::Ok();
  });
}

engram_se_status EdgeNeighbours(engram_se_space* space, engram_se_bytes id,
                                engram_se_scored_fn visit, void* ctx,
                                engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    ENGRAM_ASSIGN_OR_RETURN(const auto edges, space->backend->Neighbours(ToView(id)));
    for (const auto& edge : edges) {
      if (visit(ctx, ToBytes(edge.id), edge.weight) != 0) break;
    }
    return Status::Ok();
  });
}

engram_se_status EdgeWeight(engram_se_space* space, engram_se_bytes from, engram_se_bytes to,
                            float* weight_out, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    ENGRAM_ASSIGN_OR_RETURN(const auto weight,
                            space->backend->EdgeWeight(ToView(from), ToView(to)));
    if (!weight) return Status::NotFound("there is no such edge", "add it first");
    *weight_out = *weight;
    return Status::Ok();
  });
}

engram_se_status EdgeAll(engram_se_space* space, engram_se_edge_fn visit, void* ctx,
                         engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    return space->backend->AllEdges(
        [&](std::string_view from, std::string_view to, float weight) -> Result<bool> {
          return visit(ctx, ToBytes(from), ToBytes(to), weight) == 0;
        });
  });
}

engram_se_status Traverse(engram_se_space* space, engram_se_bytes start, uint32_t depth,
                          engram_se_id_fn visit, void* ctx, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    ENGRAM_ASSIGN_OR_RETURN(const auto reached,
                            space->backend->TraverseBreadthFirst(ToView(start), depth));
    for (const std::string& id : reached) {
      if (visit(ctx, ToBytes(id)) != 0) break;
    }
    return Status::Ok();
  });
}

engram_se_status Spread(engram_se_space* space, engram_se_bytes source, float decay,
                        engram_se_error* error) noexcept {
  return Guarded(
      error, [&]() -> Status { return space->backend->SpreadActivation(ToView(source), decay); });
}

engram_se_status BindingAdd(engram_se_space* space, engram_se_bytes episode,
                            engram_se_bytes concept_id, float strength, float contribution,
                            engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    return space->backend->AddBinding(ToView(episode), ToView(concept_id), strength, contribution);
  });
}

Status VisitBindings(const Result<std::vector<compat::MemoryBackend::BoundNode>>& bound,
                     engram_se_binding_fn visit, void* ctx) {
  if (!bound.ok()) return bound.status();
  for (const auto& node : *bound) {
    if (visit(ctx, ToBytes(node.id), node.strength, node.contribution) != 0) break;
  }
  return Status::Ok();
}

engram_se_status BindingConceptsOf(engram_se_space* space, engram_se_bytes episode,
                                   engram_se_binding_fn visit, void* ctx,
                                   engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    return VisitBindings(space->backend->ConceptsOf(ToView(episode)), visit, ctx);
  });
}

engram_se_status BindingEpisodesOf(engram_se_space* space, engram_se_bytes concept_id,
                                   engram_se_binding_fn visit, void* ctx,
                                   engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    return VisitBindings(space->backend->EpisodesOf(ToView(concept_id)), visit, ctx);
  });
}

engram_se_status BindingSpread(engram_se_space* space, engram_se_bytes source,
                               uint8_t source_is_episode, float decay,
                               engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    return space->backend->SpreadThroughBindings(ToView(source), source_is_episode != 0, decay);
  });
}

engram_se_status NodePut(engram_se_space* space, const engram_se_memory* node, uint64_t* lsn_out,
                         engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    engine::DualNode dual;
    engine::Embedding embedding;
    ENGRAM_TRY(ReadNode(Taken(node), &dual, &embedding));
    return SetLsn(space->backend->PutNode(dual, embedding), lsn_out);
  });
}

engram_se_status NodeSetStrength(engram_se_space* space, engram_se_bytes id, float strength,
                                 uint64_t* lsn_out, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    return SetLsn(space->backend->SetStrength(ToView(id), strength), lsn_out);
  });
}

engram_se_status NodeSetConsolidationScore(engram_se_space* space, engram_se_bytes id, float score,
                                           uint64_t* lsn_out, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    return SetLsn(space->backend->SetConsolidationScore(ToView(id), score), lsn_out);
  });
}

}  // namespace

void SetGraphSlots(engram_se_vtable* table) {
  table->edge_add = EdgeAdd;
  table->edge_remove = EdgeRemove;
  table->edge_neighbours = EdgeNeighbours;
  table->edge_weight = EdgeWeight;
  table->edge_all = EdgeAll;
  table->traverse = Traverse;
  table->spread = Spread;
  table->binding_add = BindingAdd;
  table->binding_concepts_of = BindingConceptsOf;
  table->binding_episodes_of = BindingEpisodesOf;
  table->binding_spread = BindingSpread;
  table->node_put = NodePut;
  table->node_set_strength = NodeSetStrength;
  table->node_set_consolidation_score = NodeSetConsolidationScore;
}

}  // namespace engram::plugin
