// Set before the first paint, so that a chosen theme does not flash.
const chosen = localStorage.getItem("theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
// A page that the browser kept would show an account again after signing out.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
// All tabs leave together, and what this browser kept for the account goes.
const signing = new BroadcastChannel("connected-inbox-session");
signing.onmessage = () => location.assign("/sign-in?out=true");
addEventListener("submit", (event) => {
  if (!event.target.hasAttribute("data-sign-out")) return;
  sessionStorage.clear();
  signing.postMessage("signed out");
});
