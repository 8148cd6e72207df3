/** A resource the proxy cannot run. Its message becomes the error detail of the NACK; it names the field. */
export class ConfigFault extends Error {
  override readonly name = 'ConfigFault';
  readonly path: string;

  constructor(path: string, reason: string) {
    super(path === '' ? reason : `${path}: ${reason}`);
    this.path = path;
  }
}

/** Runs `compile`; what it throws becomes a fault at `path`. */
export function faultAt<T>(path: string, compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    if (error instanceof ConfigFault) throw error;
    throw new ConfigFault(path, (error as Error).message);
  }
}

/** `a.b[0].c`, as messages name fields. */
export function pathText(path: readonly PropertyKey[]): string {
  let out = '';
  for (const part of path) out += typeof part === 'number' ? `[${part}]` : `${out ? '.' : ''}${String(part)}`;
  return out || '(resource)';
}
