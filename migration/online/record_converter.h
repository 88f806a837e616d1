// The conversion of single records, wherever in the key space they are.
#ifndef ENGRAM_MIGRATION_ONLINE_RECORD_CONVERTER_H_
#define ENGRAM_MIGRATION_ONLINE_RECORD_CONVERTER_H_

#include <vector>

#include "engine/store.h"
#include "migration/convert.h"

namespace engram::migration::online {

// Appends the dual heads of those of `keys` that are old now, or why they can not be converted.
// The conversion and its proof are those of RangeConverter.
Status ConvertRecords(engine::ReadView& view, const SpaceId& space,
                      const std::vector<NodeKey>& keys, std::vector<ConvertedRange::Head>* heads,
                      std::vector<ConvertedRange::Poison>* poison);

}  // namespace engram::migration::online

#endif  // ENGRAM_MIGRATION_ONLINE_RECORD_CONVERTER_H_
