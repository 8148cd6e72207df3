/** The clients of http2-clients.ts as a program, to call from another host: `http2-call.ts NAME ARGUMENTS` (JSON); prints the answer. */
import { chat, get2, tunnel1, tunnel2 } from './http2-clients.ts';

const CLIENTS: Readonly<Record<string, (...args: never[]) => Promise<unknown>>> = { chat, get2, tunnel1, tunnel2 };
const [name = '', given = ''] = process.argv.slice(2);
console.log(JSON.stringify(await CLIENTS[name]!(...(JSON.parse(given) as never[]))));
