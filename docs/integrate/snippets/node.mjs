// Upload a photo, try a product on, wait for the picture. Node.js 20 or newer, no packages.
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";

const { TRYON_URL, TRYON_KEY, PHOTO, SHIRT_URL } = process.env;

async function call(path, { json, ...options } = {}) {
  const headers = { "x-api-key": TRYON_KEY, ...options.headers };
  if (json) headers["content-type"] = "application/json";
  const body = json ? JSON.stringify(json) : options.body;
  const answer = await fetch(`${TRYON_URL}/tryon/v1${path}`, { method: body ? "POST" : "GET", ...options, headers, body });
  const result = await answer.json();
  if (!answer.ok) throw new Error(`${result.code}: ${result.message} (${result.requestId})`);
  return result;
}

const form = new FormData();
form.append("file", new Blob([await readFile(PHOTO)]), "photo.jpg");
form.append("externalUserId", "gid://shopify/Customer/1");
const image = await call("/images/upload", { body: form });
for (const warning of image.warnings) console.error(warning.message); // in words for the customer

const started = await call("/try-on", {
  headers: { "idempotency-key": randomUUID() }, // send the same one when you try again
  json: {
    products: [{ externalId: "shirt-1", images: [{ source: { url: SHIRT_URL } }] }],
    person: { image: { source: { id: image.imageId } } },
  },
});
let generation;
do {
  await new Promise((wake) => setTimeout(wake, 2000));
  generation = await call(`/generations/${started.generationId}`);
} while (!["COMPLETED", "FAILED"].includes(generation.status));
if (generation.status === "FAILED") throw new Error(generation.errorMessage);
console.log(generation.resultImageUrl);
