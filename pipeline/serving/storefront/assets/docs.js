// The OpenAPI document as a page: the fields, examples and answers of each route.

import { get } from "./api.js";
import { byId, element } from "./dom.js";

const JSON_TYPE = "application/json";

function show({ info, paths, components }) {
  const schemas = components.schemas;
  byId("about").textContent = `${info.description} Version ${info.version}.`;
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
  );
  byId("contents").replaceChildren(
    element("ul", {}, ...routes.map((route) => element("li", {}, link(route), ` ${route.summary}`))),
  );
  byId("routes").replaceChildren(...routes.map((route) => section(route, schemas)));
}

const link = (route) => {
  const name = element("code", {}, `${route.method.toUpperCase()} ${route.path}`);
  return element("a", { href: `#${route.operationId}` }, name);
};

function section(route, schemas) {
  const node = element("section", { class: "card", id: route.operationId });
  const method = element("span", { class: "method" }, route.method.toUpperCase());
  node.append(element("h2", {}, method, route.path), element("p", {}, route.summary));
  if (route.parameters) node.append(part("Parameters", parameters(route.parameters)));
  const body = route.requestBody?.content[JSON_TYPE];
  if (body) node.append(part("Body", fields(body.schema, schemas)), ...examples(body));
  for (const [status, answer] of Object.entries(route.responses)) {
    const content = answer.content?.[JSON_TYPE];
    node.append(part(`${status}: ${answer.description}`, null));
    if (content && status < "300") node.append(fields(content.schema, schemas));
    if (content) node.append(...examples(content));
  }
  return node;
}

function part(heading, content) {
  return element("div", {}, element("h3", {}, heading), content);
}

function parameters(list) {
  return table(
    list.map(({ name, required, schema, description }) => [
      name,
      type(schema),
      required ? "yes" : "no",
      description ?? "",
    ]),
  );
}

function fields(schema, schemas) {
  const object = resolve(schema, schemas);
  if (!object.properties) return element("p", { class: "soft" }, type(schema));
  const required = new Set(object.required ?? []);
  return table(
    Object.entries(object.properties).map(([name, field]) => [
      name,
      type(field),
      required.has(name) ? "yes" : "no",
      field.description ?? "",
    ]),
  );
}

// Returns the object that a schema refers to; of several alternatives, the first.
function resolve(schema, schemas) {
  if (schema.$ref) return schemas[schema.$ref.split("/").pop()];
  if (schema.oneOf) return resolve(schema.oneOf[0], schemas);
  return schema;
}

function type(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.join(" | ");
  const forms = schema.anyOf ?? schema.oneOf;
  if (forms) return forms.map(type).filter((name) => name !== "null").join(" or ");
  if (schema.type === "array") return `list of ${type(schema.items)}`;
  return schema.format ? `${schema.type} (${schema.format})` : (schema.type ?? "any");
}

function table(rows) {
  const head = element("tr", {}, ...["Name", "Type", "Required", "Description"].map(headerCell));
  const body = rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))));
  const node = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  return element("div", { class: "wide", tabIndex: 0 }, node);
}

const headerCell = (name) => element("th", { scope: "col" }, name);

function examples(content) {
  const values = Object.values(content.examples ?? {}).map(({ value }) => value);
  return values.map((value) =>
    element("pre", { tabIndex: 0 }, JSON.stringify(value, null, 2)),
  );
}

const description = await get("/docs.json").catch((problem) => {
  byId("problem").textContent = problem.message;
  byId("problem").hidden = false;
});
if (description) show(description);
