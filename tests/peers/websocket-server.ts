/** A WebSocket echo on Bun: messages come back, "close:CODE:REASON" closes, "count:N" sends N messages. Run by bun. */
interface Socket {
  send(data: string | Uint8Array): number;
  close(code: number, reason: string): void;
}
interface BunServe {
  serve(options: object): { port: number };
}

const { serve } = (globalThis as unknown as { Bun: BunServe }).Bun;
const server = serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch(request: Request, self: { upgrade(request: Request, options: object): boolean }) {
    // The first protocol that the client offers, as chat servers do.
    const protocol = request.headers.get('sec-websocket-protocol')?.split(',')[0];
    const headers = protocol === undefined ? {} : { 'sec-websocket-protocol': protocol };
    return self.upgrade(request, { headers }) ? undefined : new Response('upgrade, please', { status: 426 });
  },
  websocket: {
    maxPayloadLength: 16 << 20,
    backpressureLimit: 64 << 20,
    message(socket: Socket, data: string | Uint8Array) {
      const [command, first = '', second = ''] = typeof data === 'string' ? data.split(':') : [];
      if (command === 'close') socket.close(Number(first), second);
      else if (command === 'count') for (let i = 0; i < Number(first); i++) socket.send(String(i));
      else socket.send(data);
    },
  },
});
console.log(JSON.stringify({ ready: true, port: server.port }));
