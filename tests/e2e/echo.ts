/** An application that tells what reached it: `echo.ts PORT`. `/flaky/N/ID` fails N times with 503; `/slow` never answers in time. */
import { createServer } from 'node:http';

const seen = new Map<string, number>();
const server = createServer({ keepAliveTimeout: 0 }, (incoming, outgoing) => {
  const path = incoming.url ?? '/';
  const calls = (seen.get(path) ?? 0) + 1;
  seen.set(path, calls);
  const failures = Number(/^\/flaky\/(\d+)\//.exec(path)?.[1] ?? 0);
  const answer = () =>
    outgoing
      .writeHead(calls <= failures ? 503 : 200, { 'content-type': 'application/json', 'x-from-app': 'yes' })
      .end(JSON.stringify({ path, calls, headers: incoming.headers }));
  if (path.startsWith('/slow')) setTimeout(answer, 10_000).unref();
  else answer();
});
server.listen(Number(process.argv[2]), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
