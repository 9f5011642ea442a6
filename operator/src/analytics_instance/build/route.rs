//! The HTTPRoute: the same ways as the Ingress's, for a Gateway.

use super::ingress::LOGGER_PATHS;
use crate::analytics_instance::plan::{Plan, Service};
use crate::foreign::{BackendRef, HTTPRoute, HTTPRouteSpec, PathMatch, RouteMatch, RouteRule};

pub fn build(plan: &Plan) -> Option<HTTPRoute> {
    let gateway = plan.spec.gateway.as_ref()?;
    let logger =
        LOGGER_PATHS.map(|(path, kind)| matching(path, if kind == "Exact" { kind } else { "PathPrefix" }));
    Some(HTTPRoute {
        metadata: plan.meta(plan.name.clone(), "gateway"),
        spec: HTTPRouteSpec {
            parent_refs: gateway.parent_refs.clone(),
            hostnames: gateway.hostnames.clone(),
            rules: vec![
                rule(plan, logger.to_vec(), Service::Logger),
                rule(plan, vec![matching("/", "PathPrefix")], Service::Api),
            ],
        },
    })
}

fn matching(path: &str, kind: &str) -> RouteMatch {
    RouteMatch { path: PathMatch { kind: kind.to_owned(), value: path.to_owned() } }
}

fn rule(plan: &Plan, matches: Vec<RouteMatch>, service: Service) -> RouteRule {
    let to =
        service.port(&plan.spec).map(|(_, port)| BackendRef { name: plan.child_name(service.name()), port });
    RouteRule { matches, backend_refs: to.into_iter().collect() }
}
