// One of JavaScript's clients: `node client.mjs fetch|undici|axios|node-fetch URL PLAN`; Deno's and Bun's own fetch.
import { readFileSync } from "node:fs";

const [which, url, plan] = process.argv.slice(2);
const { default: axios } = await import("axios");
const { default: StreamedForm } = await import("form-data");
const nodeFetch = await import("node-fetch");
const undici = await import("undici");

async function send({ key, part, file }) {
  const bytes = readFileSync(file);
  if (which === "axios") {
    const form = new StreamedForm();
    form.append(part, bytes, { filename: "photo.jpg", contentType: "image/jpeg" });
    const answer = await axios.post(url, form, {
      headers: { "x-api-key": key, ...form.getHeaders() }, validateStatus: () => true, maxBodyLength: Infinity,
    });
    return [answer.status, answer.data, answer.headers["retry-after"]];
  }
  const web = { fetch: [fetch, FormData, Blob], undici: [undici.fetch, undici.FormData, Blob],
    "node-fetch": [nodeFetch.default, nodeFetch.FormData, nodeFetch.Blob] };
  const [call, Form, Bytes] = web[which] ?? web.fetch;
  const form = new Form();
  form.append(part, new Bytes([bytes], { type: "image/jpeg" }), "photo.jpg");
  const answer = await call(url, { method: "POST", headers: { "x-api-key": key }, body: form });
  return [answer.status, await answer.json(), answer.headers.get("retry-after")];
}

for (const step of JSON.parse(readFileSync(plan, "utf8"))) {
  try {
    const [status, body, later] = await send(step);
    console.log(step.name, status, (body.code ?? "-") + (later ? ",retry-after" : ""));
  } catch (error) {
    console.log(step.name, 0, String(error.cause?.code ?? error.code ?? error.message).replaceAll(" ", "_"));
  }
}
process.exit(0); // axios keeps connections open
