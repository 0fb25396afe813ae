// Every service's own OpenAPI document, chosen from a list; "Try it out" calls this origin with the token given.
window.SwaggerUIBundle({
  dom_id: "#services",
  urls: ["routing", "inbox_state", "notification", "reporting"].map((name) => ({
    name,
    url: `/openapi/${name}.json`,
  })),
  presets: [window.SwaggerUIBundle.presets.apis, window.SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
