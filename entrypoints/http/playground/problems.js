// What went wrong, in words, and what to do about it.
const WORDS = {
  UNREACHABLE: ["The service cannot be reached", "Is it still running, and are you online? Nothing was kept."],
  MISSING_API_KEY: ["An API key is needed", "Enter your key, then try again."],
  INVALID_API_KEY: ["This API key is not valid", "Check it for a missing letter, or make a new one: tryon-images keys create."],
  VALIDATION_FAILED: ["Something in the form is not right", "Correct what is listed here and try again."],
  FILE_REQUIRED: ["There was no photo", "Choose a photo and try again."],
  INVALID_IMAGE: ["The photo cannot be read", "The file is damaged or incomplete. Send the original, not a copy that a chat app made."],
  IMAGE_TOO_LARGE: ["The photo has too many pixels", "Send a version with fewer pixels; 12 megapixels are plenty."],
  FILE_TOO_LARGE: ["The file is larger than 10 MB", "Send a smaller version, or a JPEG instead of a PNG."],
  UNSUPPORTED_IMAGE_FORMAT: ["This is not a photo we can read", "Send a JPEG, PNG, WebP or HEIC photo."],
  IMAGE_NOT_FOUND: ["The image was deleted", "It expired, or somebody deleted it. Upload the photo again."],
  GENERATION_NOT_FOUND: ["The try-on is gone", "The service does not know it any more. Try it on again."],
  CUSTOMER_ERASED: ["The customer was erased meanwhile", "Nothing of this upload was kept. Upload again if that is what you want."],
  IDEMPOTENCY_KEY_IN_USE: ["The same upload is still running", "Wait a moment, then try again."],
  IDEMPOTENCY_KEY_REUSED: ["This request was made before, differently", "Upload the photo again."],
  RATE_LIMITED: ["Too many requests", "The account's limit is reached for the moment."],
  OVERLOADED: ["The service is busy", "It takes no more photos for the moment. Yours was not kept."],
  INTERNAL_ERROR: ["Something broke on our side", "Try again; if it stays, report the reference below."],
  UNEXPECTED: ["An answer we do not understand", "Something between this page and the service may have answered instead."],
  NOT_A_FILE: ["That is not a file", "Drop or paste a photo itself, not a link to it or a text."],
};

/** Why a try-on ended without a picture. The service says itself what to do about it. */
const FAILURES = {
  CONTENT_FILTERED: "The engine kept the picture back",
  ENGINE_REFUSED: "The engine did not accept these pictures",
  ENGINE_MISCONFIGURED: "The engine is not set up correctly",
  ENGINE_UNAVAILABLE: "The engine cannot be reached for now",
  GENERATION_FAILED: "Something broke on our side",
  IMAGE_NOT_FOUND: "One of the pictures is gone",
  CUSTOMER_ERASED: "The customer was erased meanwhile",
};

/** The same request may well succeed the next time, or once there is another key. */
const PASSES = new Set([
  "UNREACHABLE", "MISSING_API_KEY", "INVALID_API_KEY", "CUSTOMER_ERASED", "IDEMPOTENCY_KEY_IN_USE", "RATE_LIMITED",
  "OVERLOADED", "INTERNAL_ERROR", "UNEXPECTED",
]);

/** Returns: { title, advice, details, reference, waitSeconds, passes } */
export function inWords(problem) {
  const unlisted = problem.message ? ["The service refused this", problem.message] : WORDS.UNEXPECTED;
  const [title, advice] = WORDS[problem.code] ?? unlisted;
  return {
    title,
    advice,
    details: problem.details ?? [],
    reference: problem.requestId ? `${problem.code}, reference ${problem.requestId}` : "",
    waitSeconds: problem.retryAfter,
    passes: PASSES.has(problem.code),
  };
}

/** Of a generation that FAILED. Returns: { title, advice, reference } */
export const failureInWords = ({ generationId, errorCode, errorMessage }) => ({
  title: FAILURES[errorCode] ?? "The try-on ended without a picture",
  advice: errorMessage,
  reference: `${errorCode}, generation ${generationId}`,
});
