import { expect, it } from 'vitest';
import type { Runtime, ServerTlsOptions, TlsContext } from '../runtime/runtime.ts';
import { Secrets } from './secrets.ts';

/** Files whose reads answer when told to, with the text of the moment they were asked for. */
class SlowFiles {
  private readonly texts = new Map<string, string>();
  private readonly waiting: (() => void)[] = [];
  slow = false;
  changed = () => {};

  write(path: string, text: string): void {
    this.texts.set(path, text);
    this.changed();
  }

  async read(path: string): Promise<Uint8Array> {
    const bytes = new TextEncoder().encode(this.texts.get(path));
    if (this.slow) await new Promise<void>((resolve) => this.waiting.push(resolve));
    return bytes;
  }

  watchFolder(_path: string, changed: () => void): () => void {
    this.changed = changed;
    return () => {};
  }

  /** Lets every read end, the latest first. */
  async settle(): Promise<void> {
    this.slow = false;
    while (this.waiting.length > 0) {
      this.waiting.pop()!();
      await new Promise((later) => setImmediate(later));
    }
  }
}

it('ends on the last text of a file that changes while it is read', async () => {
  const files = new SlowFiles();
  const made: ServerTlsOptions[] = [];
  const serverTls = (options: ServerTlsOptions) => {
    made.push(options);
    return {} as TlsContext;
  };
  const secrets = new Secrets({ files, serverTls } as unknown as Runtime, () => {});
  files.write('/tls/cert.pem', 'cert 1');
  files.write('/tls/key.pem', 'key');
  const tlsCertificates = [
    { certificateChain: { filename: '/tls/cert.pem' }, privateKey: { filename: '/tls/key.pem' } },
  ];
  await secrets.load(tlsCertificates);
  const context = secrets.server({ commonTlsContext: { tlsCertificates } }, false);
  context(new Uint8Array(0));
  files.slow = true;
  files.write('/tls/cert.pem', 'cert 2');
  files.write('/tls/cert.pem', 'cert 3');
  await files.settle();
  context(new Uint8Array(0));
  expect(made.map((options) => options.keyPair?.certificateChain)).toEqual(['cert 1', 'cert 3']);
});
