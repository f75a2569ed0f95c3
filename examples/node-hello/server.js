const http = require("node:http");

const port = process.env.PORT || 3000;
const host = process.env.HOST || "127.0.0.1";
const started = new Date();
let visits = 0;

const page = () => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hello from Node</title>
<style>
  body { display: grid; place-content: center; min-height: 90vh; margin: 0; text-align: center;
         font: 1.1rem/1.6 system-ui, sans-serif; color: #233; background: #f2f7f2; }
  h1 { margin: 0; font-size: 3rem; color: #3c873a; }
</style>
<h1>Hello</h1>
<p>from Node ${process.version}, visit ${visits} of this instance,<br>
which started at ${started.toISOString().slice(11, 19)} UTC.</p>
`;

const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  if (pathname !== "/") {
    response.writeHead(404, { "Content-Type": "text/plain; charset=utf-8" });
    response.end("There is only one page here.\n");
    return;
  }
  visits += 1;
  response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" });
  response.end(page());
});

server.listen(port, host, () => console.log(`listening on http://${host}:${port}`));

// Finish what is under way, take nothing new, and leave.
process.on("SIGTERM", () => server.close(() => process.exit(0)));
