const byId = (id) => document.getElementById(id);
const [state, said, form, name, text] = ["state", "said", "say", "name", "text"].map(byId);
let socket;
let pause = 250;

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/room`);
  socket.onopen = () => { pause = 250; };
  socket.onmessage = (event) => {
    const news = JSON.parse(event.data);
    if (news.here !== undefined) state.textContent = news.here === 1 ? "only you are here" : `${news.here} are here`;
    for (const message of news.said ?? []) show(message);
  };
  socket.onclose = () => {
    state.textContent = "connecting …";
    said.replaceChildren();
    setTimeout(connect, pause);
    pause = Math.min(pause * 2, 8000);
  };
}

function show(message) {
  const item = document.createElement("li");
  const who = document.createElement("b");
  who.textContent = message.name;
  item.append(who, message.text);
  item.classList.toggle("mine", message.name === name.value);
  said.append(item);
  item.scrollIntoView({ block: "end" });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!text.value.trim() || socket.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ name: name.value, text: text.value }));
  text.value = "";
});

name.value = localStorage.getItem("name") ?? "";
name.addEventListener("change", () => localStorage.setItem("name", name.value));
connect();
