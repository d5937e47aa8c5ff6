// The whole flow with the client that openapi-typescript and openapi-fetch make of the document.
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { components, paths } from "../generated/schema";

const { TRYON_URL, TRYON_KEY, PHOTO, SHIRT_URL } = process.env as Record<string, string>;
const photo = new Blob([readFileSync(PHOTO)], { type: "image/jpeg" });
const client = createClient<paths>({ baseUrl: TRYON_URL, headers: { "x-api-key": TRYON_KEY } });

function form(fields: Record<string, string | Blob>): FormData {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  return body;
}

function expect(what: string, isSo: boolean): void {
  if (!isSo) throw new Error(what);
}

const uploaded = await client.POST("/tryon/v1/images/upload", {
  body: { file: photo as unknown as string, externalUserId: "ann", keepForDays: 3 },
  bodySerializer: () => form({ file: photo, externalUserId: "ann", keepForDays: "3" }),
});
if (!uploaded.data) throw new Error(uploaded.error.code);
const image: components["schemas"]["Image"] = uploaded.data;
expect("three days", image.keepForDays === 3);

const started = await client.POST("/tryon/v1/try-on", {
  params: { header: { "Idempotency-Key": "openapi-fetch" } },
  body: {
    products: [{ externalId: "shirt-1", images: [{ source: { url: SHIRT_URL } }] }],
    person: { image: { source: { id: image.imageId } } },
    externalUserId: "ann",
  },
});
if (!started.data) throw new Error(started.error.code);
const generationId = started.data.generationId;
for (;;) {
  const polled = await client.GET("/tryon/v1/generations/{generationId}", { params: { path: { generationId } } });
  if (polled.data?.status === "COMPLETED") {
    expect("a picture", (await fetch(polled.data.resultImageUrl!)).ok);
    break;
  }
  expect("no failure", polled.data?.status !== "FAILED");
  await new Promise((wake) => setTimeout(wake, 100));
}

const data = JSON.stringify({
  products: [{ images: [{ source: { fileKey: "garment" } }] }],
  person: { image: { source: { fileKey: "selfie" } } },
});
const waited = await client.POST("/tryon/v1/try-on/sync", {
  body: { data },
  bodySerializer: () => form({ data, garment: photo, selfie: photo }),
});
expect("waited", waited.data?.status === "COMPLETED");

const product = await client.POST("/tryon/v1/products", {
  body: { externalId: "coat", images: [{ source: { url: SHIRT_URL } }] },
});
expect("a product", product.data?.productId === "coat");
expect("listed", (await client.GET("/tryon/v1/products", {})).data!.items.length >= 1);
const path = { externalId: "coat" };
expect("deleted", (await client.DELETE("/tryon/v1/products/{externalId}", { params: { path } })).response.status === 204);
expect("credits", (await client.GET("/tryon/v1/account/credits", {})).data?.creditBalance === 1_000_000);
const missing = await client.GET("/tryon/v1/images/{imageId}", { params: { path: { imageId: "img_unknown" } } });
expect("a problem", missing.error?.code === "IMAGE_NOT_FOUND");

const ticket = await client.POST("/tryon/v1/upload-tickets", { body: { externalUserId: "ann" } });
const shopper = await fetch(ticket.data!.uploadUrl, {
  method: "POST",
  headers: { authorization: `Bearer ${ticket.data!.ticket}` },
  body: form({ file: photo }),
});
expect("uploaded with a ticket", shopper.status === 201);
const erased = await client.POST("/tryon/v1/customers/erase", { body: { customerId: "ann" } });
expect("erased", (erased.data?.imagesErased ?? 0) >= 2);
console.log("done");
