# Stands in for setuptools while pip downloads a source archive. pip asks an archive's build backend for its metadata, and
# setuptools would answer by running the package's setup.py. This backend (PEP 517) copies the two facts pip needs from the
# PKG-INFO file that every source archive has, so that no code of the package ever runs.
import os


class __legacy__:
    @staticmethod
    def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
        facts = {}
        with open("PKG-INFO", encoding="utf-8", errors="replace") as info:
            for line in info:
                key, _, value = line.partition(":")
                if not value:
                    break
                facts.setdefault(key, value.strip())
        folder = "{}-{}.dist-info".format(facts["Name"].replace("-", "_"), facts["Version"])
        os.mkdir(os.path.join(metadata_directory, folder))
        with open(os.path.join(metadata_directory, folder, "METADATA"), "w", encoding="utf-8") as metadata:
            metadata.write("Metadata-Version: 2.1\nName: {Name}\nVersion: {Version}\n".format(**facts))
        return folder


prepare_metadata_for_build_wheel = __legacy__.prepare_metadata_for_build_wheel
