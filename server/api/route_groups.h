// Parts of the groups of context.h, in files of their own.
#ifndef ENGRAM_SERVER_API_ROUTE_GROUPS_H_
#define ENGRAM_SERVER_API_ROUTE_GROUPS_H_

#include "server/api/context.h"

namespace engram::server {

// Of AddMemoryRoutes.
void AddListRoutes(const ApiContext& context, Router* router);
void AddCompletionRoutes(const ApiContext& context, Router* router);
// Of AddRecallRoutes.
void AddSearchRoutes(const ApiContext& context, Router* router);
void AddQueryRoutes(const ApiContext& context, Router* router);
void AddConsolidationRoutes(const ApiContext& context, Router* router);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_ROUTE_GROUPS_H_
