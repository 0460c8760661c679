pub fn yaml_stream() -> String {
    String::new()
}
pub fn yaml_files() -> Vec<(String, String)> {
    Vec::new()
}
