#include "server/api/context.h"

namespace engram::server {

void AddMetricsRoutes(const ApiContext& context, Router* router) {
  router->Add(
      {Method::kGet, "/metrics", Execution::kBlocking, Guard::kRead, [context](const Request&) {
         return Response::Json(200, context.metrics.Json(context.spaces, context.scheduler));
       }});
  router->Add({Method::kGet, "/metrics/prometheus", Execution::kBlocking, Guard::kRead,
               [context](const Request&) {
                 Response response = Response::Text(
                     200, context.metrics.PrometheusText(context.spaces, context.scheduler));
                 response.content_type = "text/plain; version=0.0.4";
                 return response;
               }});
}

}  // namespace engram::server
