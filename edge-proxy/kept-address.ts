/**
 * The address of `--ip auto` in the data folder. A proxy that starts while the control plane is away is then the same node as
 * before, whose config it holds on disk.
 */
import type { OwnAddress } from './own-address.ts';
import type { Files } from './runtime/runtime.ts';

const FILE = 'own-address';
const ADDRESS = /^[0-9a-fA-F:.]{2,45}$/;

export class KeptAddress {
  private readonly files: Pick<Files, 'read' | 'writeAtomic'>;
  private readonly path: string;
  private readonly log: (line: string) => void;
  private kept: string | undefined;

  /** @param folder of the proxy's data */
  constructor(files: Pick<Files, 'read' | 'writeAtomic'>, folder: string, log: (line: string) => void) {
    this.files = files;
    this.path = `${folder}/${FILE}`;
    this.log = log;
  }

  async restore(address: OwnAddress): Promise<void> {
    const bytes = await this.files.read(this.path).catch(() => undefined);
    const text = bytes === undefined ? '' : new TextDecoder().decode(bytes).trim();
    if (!ADDRESS.test(text)) return;
    this.kept = text;
    address.restore(text);
  }

  /** Only an address that the host has. */
  async keep({ isHeld, current }: OwnAddress): Promise<void> {
    if (!isHeld || current === this.kept) return;
    try {
      await this.files.writeAtomic(this.path, new TextEncoder().encode(`${current}\n`), 0o600);
      this.kept = current;
    } catch (error) {
      this.log(`${this.path} cannot be written: ${(error as Error).message}`);
    }
  }
}
