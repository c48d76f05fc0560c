// Runs the script of the page with as much of a browser as it asks of one.
//
// Arguments: a file with the script, and one with the text of the metrics.
"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const vm = require("node:vm");

const [script, metrics] = process.argv.slice(2).map((path) => fs.readFileSync(path, "utf8"));

class Element {
  constructor(value = "") {
    Object.assign(this, { children: [], value, listeners: {}, textContent: "" });
  }
  append(child) {
    this.children.push(child);
  }
  replaceChildren(...children) {
    this.children = children;
  }
  addEventListener(name, listener) {
    this.listeners[name] = listener;
  }
}

const elements = { token: new Element("secret"), text: new Element("a text") };
const asked = [];

globalThis.document = {
  hidden: false,
  body: { dataset: { metrics: "/metrics" } },
  getElementById: (id) => (elements[id] ||= new Element()),
  createElement: () => new Element(),
};
globalThis.setTimeout = () => {};
globalThis.fetch = async (path, options = {}) => {
  asked.push([path, options]);
  const answer = (text, ok = true) => ({ ok, status: ok ? 200 : 400, text: async () => text });
  if (path === "/metrics") return answer(metrics);
  if (path.endsWith(":predict")) {
    const isGood = JSON.parse(options.body).instances[0] !== "bad";
    return answer(isGood ? '{"predictions": []}' : '{"error": "no"}', isGood);
  }
  const version = { version: "1", state: "LOADING", status: { error_message: "broken" } };
  return answer(JSON.stringify({ model_version_status: [version] }));
};

const rows = (id) => elements[id].children.map((row) => row.children.map((c) => c.textContent));

(async () => {
  vm.runInThisContext(script);
  await new Promise(setImmediate);
  await vm.runInThisContext("refresh()");
  assert.equal(elements.problem.textContent, "");
  assert.deepEqual(rows("models"), [
    ['<b>"x"', "1", "LOADING", "broken"],
    ["m", "1", "LOADING", "broken"],
  ]);
  assert.ok(asked.some(([path]) => path === "/v1/models/%3Cb%3E%22x%22"));
  const [[model, action, entrypoint, count, mean, half, most]] = rows("latencies");
  assert.deepEqual([model, action, entrypoint, count], ["m", "predict", "REST", 4]);
  assert.equal(mean, "2.5 ms");
  assert.ok(0.5 < parseFloat(half) && parseFloat(half) < 1.5, half);
  assert.ok(7 < parseFloat(most) && parseFloat(most) < 12, most); // the end of its bucket
  assert.match(elements.server.textContent, /0 requests are computed and 7 wait; [1-9]/);

  elements.model.value = "m";
  const submit = elements.form.listeners.submit;
  await submit({ preventDefault() {} });
  assert.match(elements.answer.textContent, /predictions/);
  const [path, options] = asked[asked.length - 1];
  assert.equal(path, "/v1/models/m:predict");
  assert.equal(options.headers.Authorization, "Bearer secret");
  assert.deepEqual(JSON.parse(options.body), { instances: ["a text"] });
  elements.text.value = "bad";
  await submit({ preventDefault() {} });
  assert.equal(elements.answer.textContent, "400: no");
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
