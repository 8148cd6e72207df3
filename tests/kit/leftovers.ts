/** Runs with every test file (vitest.config.ts): a file that leaves a process running fails, and the process is killed. */
import { afterAll } from 'vitest';
import { runningPrograms } from '../../deploy/local/program.ts';

// Hooks run in reverse order: this one comes after those of the file.
afterAll(async () => {
  const programs = [...runningPrograms];
  const left = programs.filter(({ process }) => !process.killed).map(({ name }) => name);
  await Promise.all(programs.map((program) => program.stop('SIGKILL')));
  if (left.length > 0) throw new Error(`left running: ${left.join(', ')}`);
});
