// app/api/try-on/[...step]/route.ts of a Next.js shop: the page never sees the key. Three steps, one file.
const api = `${process.env.TRYON_URL}/tryon/v1`;
const headers = { "x-api-key": process.env.TRYON_KEY!, "content-type": "application/json" };

/** POST /api/try-on/ticket: lets the page upload one photo of the customer who is signed in. */
async function ticket(customerId: string): Promise<Response> {
  const body = JSON.stringify({ externalUserId: customerId, keepForDays: 1 });
  return fetch(`${api}/upload-tickets`, { method: "POST", headers, body });
}

/** POST /api/try-on/start {"imageId", "productId", "productImage"}. */
async function start(request: Request, customerId: string): Promise<Response> {
  const { imageId, productId, productImage } = await request.json();
  const body = JSON.stringify({
    products: [{ externalId: productId, images: [{ source: { url: productImage } }] }],
    person: { image: { source: { id: imageId } } },
    externalUserId: customerId,
  });
  return fetch(`${api}/try-on`, { method: "POST", headers, body });
}

export async function POST(request: Request): Promise<Response> {
  const customerId = await signedIn(request);
  if (!customerId) return Response.json({ code: "SIGN_IN" }, { status: 401 });
  const isTicket = new URL(request.url).pathname.endsWith("/ticket");
  return passedOn(await (isTicket ? ticket(customerId) : start(request, customerId)));
}

/** GET /api/try-on/status?id=gen_…: the page asks every two seconds. */
export async function GET(request: Request): Promise<Response> {
  const id = new URL(request.url).searchParams.get("id") ?? "";
  return passedOn(await fetch(`${api}/generations/${encodeURIComponent(id)}`, { headers }));
}

async function passedOn(answer: Response): Promise<Response> {
  return new Response(answer.body, { status: answer.status, headers: { "content-type": "application/json" } });
}

/** Your own session, whatever it is. */
async function signedIn(request: Request): Promise<string | null> {
  return request.headers.get("x-demo-customer");
}
