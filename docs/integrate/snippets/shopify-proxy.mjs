// The backend of a Shopify app proxy: the theme asks /apps/try-on/ticket, Shopify signs the request and sends it here.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const { TRYON_URL, TRYON_KEY, SHOPIFY_SECRET, PORT } = process.env;

function isFromShopify(query) {
  const { signature = "", ...rest } = Object.fromEntries([...new Set(query.keys())].map((name) => [name, query.getAll(name).join(",")]));
  const message = Object.keys(rest).sort().map((name) => `${name}=${rest[name]}`).join("");
  const expected = createHmac("sha256", SHOPIFY_SECRET).update(message).digest("hex");
  return signature.length === expected.length && timingSafeEqual(Buffer.from(signature), Buffer.from(expected));
}

createServer(async (request, response) => {
  const query = new URL(request.url, "http://proxy").searchParams;
  if (!isFromShopify(query)) return response.writeHead(401).end();
  const customer = query.get("logged_in_customer_id");
  const answer = await fetch(`${TRYON_URL}/tryon/v1/upload-tickets`, {
    method: "POST",
    headers: { "x-api-key": TRYON_KEY, "content-type": "application/json" },
    body: JSON.stringify(customer ? { externalUserId: `gid://shopify/Customer/${customer}` } : {}),
  });
  response.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
}).listen(Number(PORT), "127.0.0.1", () => console.log("listening"));
