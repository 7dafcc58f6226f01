//! All routes, by template and method; a bounded number of them.

use super::figures::RouteFigures;
use super::route::Route;
use axum::http::Method;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Templates that are kept. A router has some dozens; who takes paths for templates may have any
/// number, and shares one place for those beyond.
const MOST_TEMPLATES: usize = 256;

/// Routes that are kept, 8 MiB of them.
const MOST_ROUTES: usize = 256;

/// The template of requests that no route matched.
pub(super) const UNMATCHED: &str = "(unmatched)";

/// The template of those for which there was no place.
const OTHER: &str = "(other)";

const METHODS: [&str; 10] = [
    "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "OTHER",
];

/// A template, and its routes by method.
pub(super) struct Template {
    pub(super) name: Box<str>,
    /// Load is not shed here.
    is_exempt: bool,
    routes: [OnceLock<Box<Route>>; METHODS.len()],
}

/// A route that is there for good.
#[derive(Clone)]
pub(super) struct Place {
    template: Arc<Template>,
    method: usize,
}

pub(super) struct Routes {
    /// Written when a template comes for the first time.
    templates: RwLock<HashMap<Box<str>, Arc<Template>>>,
    other: Arc<Template>,
    count: AtomicUsize,
}

impl Routes {
    pub(super) fn new() -> Routes {
        Routes {
            templates: RwLock::default(),
            other: Arc::new(Template::new(OTHER, false)),
            count: AtomicUsize::new(0),
        }
    }

    /// The template of that name, made at its first request, and whether load is not shed there.
    pub(super) fn template(
        &self,
        name: &str,
        is_exempt: impl Fn(&str) -> bool,
    ) -> (Arc<Template>, bool) {
        // One place stands for many routes, and is none of those that are exempt.
        let other = || (Arc::clone(&self.other), is_exempt(name));
        {
            let templates = self.templates.read();
            let templates = templates.unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = templates.get(name) {
                return (Arc::clone(known), known.is_exempt);
            }
            if templates.len() >= MOST_TEMPLATES {
                return other();
            }
        }
        let made = Arc::new(Template::new(name, is_exempt(name)));
        let mut templates = self
            .templates
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if templates.len() >= MOST_TEMPLATES {
            return other();
        }
        let template = Arc::clone(templates.entry(name.into()).or_insert(made));
        let is_exempt = template.is_exempt;
        (template, is_exempt)
    }

    /// The route of a method under a template, made at its first request.
    pub(super) fn place(&self, template: Arc<Template>, method: &Method) -> Place {
        let known = METHODS.iter().position(|&name| name == method.as_str());
        let method = known.unwrap_or(METHODS.len() - 1);
        if template.routes[method].get().is_none()
            && !Arc::ptr_eq(&template, &self.other)
            && self.count.fetch_add(1, Ordering::Relaxed) >= MOST_ROUTES
        {
            self.count.fetch_sub(1, Ordering::Relaxed);
            let template = Arc::clone(&self.other);
            return Place { template, method };
        }
        Place { template, method }
    }

    /// Of all routes, sorted by template.
    pub(super) fn figures(&self) -> Vec<RouteFigures> {
        let mut templates: Vec<_> = {
            let known = self.templates.read();
            let known = known.unwrap_or_else(PoisonError::into_inner);
            known.values().cloned().collect()
        };
        templates.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        templates.push(Arc::clone(&self.other));
        let mut figures = Vec::new();
        for template in &templates {
            for (method, route) in METHODS.iter().zip(&template.routes) {
                if let Some(route) = route.get() {
                    figures.push(route.figures(method, &template.name));
                }
            }
        }
        figures
    }
}

impl Template {
    fn new(name: &str, is_exempt: bool) -> Template {
        Template {
            name: name.into(),
            is_exempt,
            routes: [const { OnceLock::new() }; METHODS.len()],
        }
    }
}

impl Place {
    pub(super) fn route(&self) -> &Route {
        self.template.routes[self.method].get_or_init(|| Box::new(Route::new()))
    }

    pub(super) fn method(&self) -> &'static str {
        METHODS[self.method]
    }

    pub(super) fn template(&self) -> &str {
        &self.template.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(routes: &Routes, name: &str, method: Method) {
        let (template, _) = routes.template(name, |_| false);
        let place = routes.place(template, &method);
        place.route().refused.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn any_number_of_templates_and_methods_takes_a_bounded_number_of_places() {
        let routes = Routes::new();
        let invented = Method::from_bytes(b"BREW").unwrap();
        for number in 0..2 * MOST_TEMPLATES {
            for method in [Method::GET, Method::POST, invented.clone()] {
                visit(&routes, &format!("/{number}"), method);
            }
        }
        let figures = routes.figures();
        // Those that are kept, and three for all others.
        assert_eq!(figures.len(), MOST_ROUTES + 3);
        let refused: u64 = figures.iter().map(|route| route.refused).sum();
        assert_eq!(refused, 6 * MOST_TEMPLATES as u64, "nothing is lost");
        let other = figures.iter().filter(|route| route.route == OTHER);
        let methods: Vec<_> = other.map(|route| route.method).collect();
        assert_eq!(methods, ["GET", "POST", "OTHER"]);
    }

    #[test]
    fn where_load_is_not_shed_does_not_depend_on_what_was_asked_for_before() {
        let routes = Routes::new();
        let is_exempt = |name: &str| name == "/health";
        for number in 0..=MOST_TEMPLATES {
            routes.template(&format!("/{number}"), is_exempt);
        }
        let (template, is_exempt) = routes.template("/health", is_exempt);
        assert_eq!((&*template.name, is_exempt), (OTHER, true));
        assert!(!routes.template("/work", |name| name == "/health").1);
    }

    #[test]
    fn a_template_is_one_place_for_each_method() {
        let routes = Routes::new();
        for _ in 0..3 {
            visit(&routes, "/a/{id}", Method::GET);
        }
        visit(&routes, "/a/{id}", Method::PUT);
        let found = routes.figures();
        let found: Vec<_> = found.iter().map(|one| (one.method, one.refused)).collect();
        assert_eq!(found, [("GET", 3), ("PUT", 1)]);
    }
}
