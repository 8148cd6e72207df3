/** A resource the proxy cannot run. Its message becomes the error detail of the NACK; it names the field. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly path: string;

  constructor(path: string, reason: string) {
    super(path === '' ? reason : `${path}: ${reason}`);
    this.path = path;
  }
}

/** Runs `compile`; an error it throws becomes a ConfigError at `path`. */
export function errorAt<T>(path: string, compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(path, (error as Error).message);
  }
}

/** `a.b[0].c`, as messages name fields. */
export function pathText(path: readonly PropertyKey[]): string {
  let out = '';
  for (const part of path) out += typeof part === 'number' ? `[${part}]` : `${out ? '.' : ''}${String(part)}`;
  return out || '(resource)';
}
