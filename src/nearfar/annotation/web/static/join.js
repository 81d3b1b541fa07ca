// The page of an invitation link: takes the token from behind the "#", shows whom it is for, and lets them come in.

const form = document.getElementById("join");
const token = document.getElementById("token");
const name = document.getElementById("name");
const show = (id, shown = true) => { document.getElementById(id).hidden = !shown; };

async function look() {
  const answer = await fetch("/join/look", { method: "POST", body: new URLSearchParams({ token: token.value }) });
  if (!answer.ok) return; // the form says more when it is sent
  const invitation = await answer.json();
  show("refused", !invitation.usable);
  form.hidden = !invitation.usable;
  if (!invitation.usable) return;
  show("paste", false);
  show("ready");
  show("naming", invitation.name === null);
  name.required = invitation.name === null;
  if (invitation.name !== null) {
    document.getElementById("ready").textContent = form.dataset.welcome.replace("{name}", () => invitation.name);
  }
  (name.required ? name : form.querySelector("button")).focus();
}

function takeToken() {
  if (location.hash.length < 2) return;
  token.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname); // neither the history nor a screenshot keeps it
  look();
}

takeToken();
window.addEventListener("hashchange", takeToken);
token.addEventListener("change", look);
