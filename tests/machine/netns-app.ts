/** The command of `tulle run --netns` in the tests: does what each line of its arguments says, and prints the results. */
import dns from 'node:dns/promises';
import http from 'node:http';
import net from 'node:net';
import process from 'node:process';

const print = (value: unknown) => process.stdout.write(`app: ${JSON.stringify(value)}\n`);

function get(url: string): Promise<unknown> {
  return new Promise((resolve) => {
    const request = http.get(url, { agent: false }, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (text) => {
        body += text;
      });
      answer.on('end', () => resolve({ status: answer.statusCode, body }));
      answer.on('error', (error) => resolve({ error: error.message }));
    });
    request.on('error', (error) => resolve({ error: error.message }));
  });
}

/** The first bytes that a server sends by itself. */
function greeting(host: string, port: number): Promise<unknown> {
  return new Promise((resolve) => {
    const connection = net.connect({ host, port });
    connection.once('data', (bytes) => {
      connection.destroy();
      resolve({ greeting: bytes.toString() });
    });
    connection.once('error', (error) => resolve({ error: error.message }));
    connection.once('close', () => resolve({ error: 'closed' }));
  });
}

process.on('SIGTERM', () => process.exit(7));
setInterval(() => {}, 1000);
process.stdin.setEncoding('utf8');
let rest = '';
process.stdin.on('data', async (text) => {
  rest += text;
  const lines = rest.split('\n');
  rest = lines.pop()!;
  for (const line of lines) {
    const [word, ...words] = line.split(' ');
    if (word === 'get') print(await get(words[0]!));
    if (word === 'greeting') print(await greeting(words[0]!, Number(words[1])));
    if (word === 'lookup') print(await dns.lookup(words[0]!).catch((error: Error) => ({ error: error.message })));
    if (word === 'exit') process.exit(Number(words[0]));
  }
});
print({ uid: process.getuid!(), proxy: process.env['http_proxy'] ?? null, pid: process.pid });
