/** Python programs that judge what ours judge, with libraries of its package index. */
import { run, works } from './process.ts';

/** `TULLE_PYTHON` names one that has the libraries. */
export const PYTHON = process.env['TULLE_PYTHON'] ?? 'python3';

/** Whether Python has a library; prints why its tests are skipped where it has not. @param probe further statements that must run */
export function pythonHas(library: string, module: string, probe = ''): boolean {
  const present = works(PYTHON, ['-c', `import ${module}\n${probe}`]);
  if (!present) console.warn(`skipped: ${PYTHON} has no ${library} (TULLE_PYTHON names a Python that has)`);
  return present;
}

/** Gives a Python program one JSON text a line. @returns its answers, one JSON text a line @throws where it fails */
export async function askPython<Answer>(args: readonly string[], questions: readonly unknown[]): Promise<Answer[]> {
  const input = questions.map((question) => `${JSON.stringify(question)}\n`).join('');
  const { code, out, error } = await run(PYTHON, args, { input, limitMs: 3_600_000 });
  if (code !== 0) throw new Error(`${PYTHON} ${args.join(' ')}: exit code ${code}\n${error}`);
  return out.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Answer]));
}
