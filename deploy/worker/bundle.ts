/** The edge worker as one module that workerd runs. */
import { fileURLToPath } from 'node:url';
import { build, type Metafile } from 'esbuild';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Writes it to `outfile`. @returns the names of its input files */
export async function bundleWorker(outfile: string): Promise<Metafile> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: ['edge-proxy/runtime/worker/main.ts'],
    outfile,
    bundle: true,
    format: 'esm',
    target: 'es2024',
    conditions: ['workerd', 'worker', 'browser'],
    legalComments: 'none',
    metafile: true,
    logLevel: 'silent',
  });
  return metafile;
}
