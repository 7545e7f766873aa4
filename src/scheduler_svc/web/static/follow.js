// Forms whose answer is a thing with a page of its own: the visitor goes on to it.
// <form data-send="POST" ... data-follows="run"> goes to /ui/runs/ID of what was answered.
const PLACES = { run: "/ui/runs/", job: "/ui/jobs/" };

document.addEventListener("sent", (event) => {
  const place = PLACES[event.target.dataset.follows];
  if (!place || !event.detail?.id) return;
  event.preventDefault();
  location.assign(place + encodeURIComponent(event.detail.id));
});
