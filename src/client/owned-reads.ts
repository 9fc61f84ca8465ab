/**
 * Opening the owner's files from a client's thread, where the owner may close at any moment.
 *
 *   it fails     the store is closed by now: its files may be deleted by the next owner, and that is no damage
 *   it works     the store is still open: the owner's descriptor of the directory, which leads to the file (directory-anchor.ts),
 *                was the owner's. Had it closed before, the number could have been another directory's
 *
 * Thread: the client's.
 */
import { closeQuietly, type FileSystem } from '../shared/file-system.ts';

/** `checkOpen` throws once the store or the client is closed; the owner marks the first before it gives anything up. */
export function readsWhileOpen(fs: FileSystem, checkOpen: () => void): Pick<FileSystem, 'openRead'> {
  return {
    openRead: (path) => {
      let file: ReturnType<FileSystem['openRead']>;
      try {
        file = fs.openRead(path);
      } catch (error) {
        checkOpen();
        throw error;
      }
      try {
        checkOpen();
      } catch (error) {
        closeQuietly(file);
        throw error;
      }
      return file;
    },
  };
}
