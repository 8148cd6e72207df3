/**
 * Compiled code kept between runs: without it every command and proxy strips and compiles its TypeScript again, which is
 * most of what a short one takes, and 25 MB of a proxy's memory (nodejs.org/api/module.html#module-compile-cache). Import
 * it before what is to be kept. Plain JavaScript, so that not even this is stripped.
 */
import * as nodeModule from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** In the user's own folder: code in one that others may write to would be theirs to choose. */
function folder() {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'tulle', 'compile');
}

const { NODE_COMPILE_CACHE: chosen, NODE_DISABLE_COMPILE_CACHE: disabled } = process.env;
try {
  // A folder set by the user is already in use. A folder that cannot be written must not fail the start.
  if (!chosen && !disabled) nodeModule.enableCompileCache?.(folder());
} catch {
  // No home, as a service may be run: then every run compiles.
}
