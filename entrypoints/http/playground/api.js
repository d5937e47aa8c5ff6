// Speaks to the HTTP API. Every failure becomes a Problem, whatever went wrong.
import { currentKey } from "./key.js";

const BASE = "/tryon/v1";

export class Problem extends Error {
  constructor({ code, status = 0, message = "", details = [], retryAfter = null, requestId = null }) {
    super(message);
    Object.assign(this, { code, status, details, retryAfter, requestId });
  }
}

export async function readImage(imageId) {
  const { body } = await call("GET", `/images/${encodeURIComponent(imageId)}`);
  return body;
}

/** `form`: the JSON in `data`, and the files it names. */
export async function startTryOn(form) {
  const { body } = await call("POST", "/try-on", { form });
  return body;
}

export async function readGeneration(generationId) {
  const { body } = await call("GET", `/generations/${encodeURIComponent(generationId)}`);
  return body;
}

export const deleteImage = (imageId) => call("DELETE", `/images/${encodeURIComponent(imageId)}`);

/** Resolves to the receipt: { erasureId, status, imagesErased, requestedAt }. */
export async function eraseCustomer(customerId) {
  const { body } = await call("POST", "/customers/erase", { json: { customerId } });
  return body;
}

/** What an upload of this form would answer; nothing is kept. */
export async function checkPhoto(form) {
  const { body } = await call("POST", "/images/check", { form });
  return body;
}

/** Resolves when the key opens an account, whatever its scopes; rejects with a Problem when it does not. */
export async function checkKey(key) {
  try {
    await call("GET", "/account/credits", { key });
  } catch (problem) {
    if (problem.code !== "FORBIDDEN") throw problem;
  }
}

async function call(method, path, { key = currentKey(), form, json } = {}) {
  const headers = { "x-api-key": key, ...(json && { "content-type": "application/json" }) };
  let response;
  try {
    response = await fetch(BASE + path, { method, headers, body: json ? JSON.stringify(json) : form, cache: "no-store" });
  } catch {
    throw unreachable();
  }
  return read(response.status, await response.text(), (name) => response.headers.get(name));
}

/** Uploads a form. fetch() tells nothing about progress, so this one is an XMLHttpRequest. */
export function uploadImage(form, { onProgress, signal }) {
  const { promise, resolve, reject } = Promise.withResolvers();
  const request = new XMLHttpRequest();
  request.open("POST", `${BASE}/images/upload`);
  request.setRequestHeader("x-api-key", currentKey());
  request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
  request.onload = () => {
    try {
      resolve(read(request.status, request.responseText, (name) => request.getResponseHeader(name)).body);
    } catch (problem) {
      reject(problem);
    }
  };
  request.onerror = () => reject(unreachable());
  request.onabort = () => reject(new Problem({ code: "CANCELLED" }));
  signal.addEventListener("abort", () => request.abort());
  request.send(form);
  return promise;
}

function read(status, text, header) {
  const body = parsed(text);
  if (status < 400) return { status, body };
  throw new Problem({
    code: body?.code ?? "UNEXPECTED",
    status,
    message: body?.message ?? "",
    details: body?.details ?? [],
    retryAfter: header("retry-after") && Number(header("retry-after")),
    requestId: header("x-request-id"),
  });
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null; // something between us and the service answered with a page of its own
  }
}

const unreachable = () => new Problem({ code: "UNREACHABLE" });
