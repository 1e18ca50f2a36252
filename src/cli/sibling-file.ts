// Files that are run by their name: a worker's, a thread's.

/**
 * The file `name` beside `from` (an `import.meta.url`), under the ending that it has here: `.ts` in a clone, `.js` in the
 * package and in the bundle, where the file that asks may have another name than its source.
 */
export function siblingFile(from: string, name: string): URL {
  return new URL(`${name}${from.slice(from.lastIndexOf("."))}`, from);
}
