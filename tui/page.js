// Where this page's screens are, how keys get to them, and how to open them again.
document.getElementById("terminal").dataset.sessionWebsocketUrl =
  (location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/ws";
for (const name of ["again", "start"]) {
  document.getElementById(name).addEventListener("click", () => location.assign("/"));
}
// Not before the connection is open: the terminal tells it of the focus.
new MutationObserver((changes, observer) => {
  if (document.body.classList.contains("-first-byte")) {
    observer.disconnect();
    document.querySelector(".xterm-helper-textarea").focus();
  }
}).observe(document.body, { attributes: true });
