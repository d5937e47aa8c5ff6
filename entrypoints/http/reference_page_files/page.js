// The reference uses the key that the page at / keeps.
const reference = document.getElementById("reference");

reference.addEventListener("spec-loaded", () => {
  const key = sessionStorage.getItem("tryon-api-key") ?? localStorage.getItem("tryon-api-key");
  if (key) reference.setApiKey("apiKey", key);
});
